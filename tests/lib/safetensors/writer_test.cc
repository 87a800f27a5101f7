// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/safetensors/writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/text/quote.h"
#include "tests/lib/safetensors/parse_file.h"
#include "tests/testing/random.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry::safetensors {
namespace {

using test::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

TensorToWrite Tensor(std::string name, Dtype dtype, std::vector<std::int64_t> shape, std::string_view data) {
  return {.name = std::move(name), .dtype = dtype, .shape = std::move(shape), .data = test::AsBytes(data)};
}

// Limits the size of the files that this process writes, which resembles a full disk, until it is destroyed.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit = {bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_ = {};
  void (*old_handler_)(int);
};

class WriterTest : public ::testing::Test {
 protected:
  // Writes "x.safetensors".
  absl::Status Write(const std::vector<TensorToWrite>& tensors, const Metadata& metadata = {}) {
    return WriteFile(dir_.Path("x.safetensors"), tensors, metadata);
  }

  // Reads the file. Sets data_offset_ and data_.
  absl::StatusOr<Header> ReadBack() {
    const std::string file = dir_.Read("x.safetensors");
    absl::StatusOr<Header> header = test::ParseFile(file);
    if (header.ok()) {
      data_offset_ = file.size() - static_cast<std::size_t>(header->data_size_bytes());
      data_ = file.substr(data_offset_);
    }
    return header;
  }

  std::string DataOf(const TensorView& tensor) {
    return data_.substr(static_cast<std::size_t>(tensor.begin), static_cast<std::size_t>(tensor.size_bytes()));
  }

  // Expects an error with the reason, and an unchanged folder.
  void ExpectRefused(const std::vector<TensorToWrite>& tensors, std::string_view reason,
                     const Metadata& metadata = {}) {
    const std::vector<std::string> before = dir_.List();
    EXPECT_THAT(Write(tensors, metadata), StatusIs(absl::StatusCode::kInvalidArgument,
                                                   AllOf(HasSubstr("x.safetensors"), HasSubstr(std::string(reason)))));
    EXPECT_EQ(dir_.List(), before);
  }

  test::TempDir dir_;
  std::size_t data_offset_ = 0;
  std::string data_;
};

TEST_F(WriterTest, TensorsOfAllDtypesAreReadBack) {
  test::Random random;
  std::vector<std::string> data;
  std::vector<TensorToWrite> tensors;
  for (const Dtype dtype : AllDtypes()) data.push_back(random.Bytes(static_cast<std::size_t>(BitWidth(dtype)) * 3));
  for (const Dtype dtype : AllDtypes()) {
    const auto i = static_cast<std::size_t>(dtype);
    tensors.push_back(Tensor("t." + std::string(DtypeName(dtype)), dtype, {4, 6}, data[i]));
  }
  TF_ASSERT_OK(Write(tensors, {{"format", "pt"}, {"", "größe\n\"\\"}}));
  TF_ASSERT_OK_AND_ASSIGN(const Header header, ReadBack());
  EXPECT_EQ(test::BrokenInvariant(header), "");
  EXPECT_EQ(header.tensor_count(), tensors.size());
  EXPECT_THAT(header.metadata(), ElementsAre(Pair("", "größe\n\"\\"), Pair("format", "pt")));
  for (const TensorToWrite& tensor : tensors) {
    SCOPED_TRACE(tensor.name);
    ASSERT_TRUE(header.Find(tensor.name).has_value());
    const TensorView view = header.tensor(*header.Find(tensor.name));
    EXPECT_EQ(view.dtype, tensor.dtype);
    EXPECT_THAT(view.shape, ElementsAre(4, 6));
    EXPECT_EQ(DataOf(view), test::AsString(tensor.data));
  }
}

TEST_F(WriterTest, WidestDtypeComesFirstThenTheName) {
  TF_ASSERT_OK(Write({Tensor("a", Dtype::kU8, {1}, "a"), Tensor("d", Dtype::kF4, {2}, "d"),
                      Tensor("c", Dtype::kF64, {1}, "cccccccc"), Tensor("b", Dtype::kI64, {1}, "bbbbbbbb"),
                      Tensor("e", Dtype::kBf16, {1}, "ee"), Tensor("B", Dtype::kF32, {1}, "BBBB"),
                      Tensor("f", Dtype::kF6E2M3, {4}, "fff"), Tensor("A", Dtype::kBool, {1}, "A")}));
  TF_ASSERT_OK_AND_ASSIGN(const Header header, ReadBack());
  EXPECT_EQ(data_, "bbbbbbbbccccccccBBBBeeAafffd");
}

TEST_F(WriterTest, DataBeginsAtAMultipleOf64ForEverySizeOfTheHeader) {
  for (std::size_t size = 0; size < 130; ++size) {
    TF_ASSERT_OK(Write({Tensor(std::string(size, 'n'), Dtype::kU8, {1}, "x")}));
    TF_ASSERT_OK_AND_ASSIGN(const Header header, ReadBack());
    EXPECT_EQ(data_offset_ % 64, 0U) << "with a name of " << size;
    EXPECT_EQ(header.tensor(0).name.size(), size);
  }
}

TEST_F(WriterTest, HeaderIsPaddedWithLessThanALine) {
  TF_ASSERT_OK(Write({}));
  TF_ASSERT_OK(ReadBack());
  EXPECT_EQ(data_offset_, 64U);
  EXPECT_EQ(dir_.Read("x.safetensors").size(), 64U);
}

TEST_F(WriterTest, ScalarsAndEmptyTensorsAreReadBack) {
  TF_ASSERT_OK(Write({Tensor("scalar", Dtype::kF32, {}, "1234"), Tensor("empty", Dtype::kF64, {0, 5}, ""),
                      Tensor("", Dtype::kU8, {0}, "")}));
  TF_ASSERT_OK_AND_ASSIGN(const Header header, ReadBack());
  EXPECT_THAT(header.tensor(*header.Find("scalar")).shape, IsEmpty());
  EXPECT_THAT(header.tensor(*header.Find("empty")).shape, ElementsAre(0, 5));
  EXPECT_TRUE(header.Find("").has_value());
}

TEST_F(WriterTest, NamesOfAnyTextAreReadBack) {
  std::vector<TensorToWrite> tensors;
  for (const std::string_view name : {"a\"b", "a\\b", "a\nb", "\x01", "\x7f", "../x", "é", "🚢", "\u202e", "/", "\t"}) {
    tensors.push_back(Tensor(std::string(name), Dtype::kU8, {1}, "x"));
  }
  TF_ASSERT_OK(Write(tensors));
  TF_ASSERT_OK_AND_ASSIGN(const Header header, ReadBack());
  for (const TensorToWrite& tensor : tensors) EXPECT_TRUE(header.Find(tensor.name).has_value()) << Escape(tensor.name);
}

TEST_F(WriterTest, SameInputInAnyOrderGivesTheSameBytes) {
  TF_ASSERT_OK(Write({Tensor("a", Dtype::kU8, {1}, "a"), Tensor("b", Dtype::kU8, {1}, "b")}, {{"k", "v"}, {"l", "w"}}));
  const std::string first = dir_.Read("x.safetensors");
  TF_ASSERT_OK(Write({Tensor("b", Dtype::kU8, {1}, "b"), Tensor("a", Dtype::kU8, {1}, "a")}, {{"l", "w"}, {"k", "v"}}));
  EXPECT_EQ(dir_.Read("x.safetensors"), first);
}

TEST_F(WriterTest, DataOfTheWrongSizeIsRefused) {
  ExpectRefused({Tensor("a", Dtype::kF32, {2}, "1234567")}, "\"a\"");
  ExpectRefused({Tensor("a", Dtype::kF32, {2}, "123456789")}, "\"a\"");
  ExpectRefused({Tensor("a", Dtype::kF32, {}, "")}, "\"a\"");
  ExpectRefused({Tensor("a", Dtype::kU8, {0}, "x")}, "\"a\"");
}

TEST_F(WriterTest, WrongSizesThatAddUpToTheRightOneAreRefused) {
  ExpectRefused({Tensor("a", Dtype::kU8, {2}, "x"), Tensor("b", Dtype::kU8, {2}, "xyz")}, "\"a\"");
}

TEST_F(WriterTest, InputThatTheReaderRefusesIsRefused) {
  using std::string_literals::operator""s;
  ExpectRefused({Tensor("a", Dtype::kU8, {1}, "x"), Tensor("a", Dtype::kU8, {1}, "y")}, "duplicate tensor \"a\"");
  ExpectRefused({Tensor("a", Dtype::kU8, {-1}, "x")}, "\"a\"");
  ExpectRefused({Tensor("a", Dtype::kU8, {-1, -1}, "x")}, "\"a\"");
  ExpectRefused({Tensor("a", Dtype::kU8, {std::int64_t{1} << 32, std::int64_t{1} << 32, 0}, "")}, "\"a\"");
  ExpectRefused({Tensor("a", Dtype::kF4, {3}, "xx")}, "\"a\"");
  ExpectRefused({Tensor("a", Dtype::kU8, std::vector<std::int64_t>(65, 1), "x")}, "64");
  ExpectRefused({Tensor(std::string(4097, 'n'), Dtype::kU8, {1}, "x")}, "4096");
  ExpectRefused({Tensor("a\0b"s, Dtype::kU8, {1}, "x")}, "NUL");
  ExpectRefused({Tensor("\xff", Dtype::kU8, {1}, "x")}, "");
  ExpectRefused({Tensor("\xed\xa0\x80", Dtype::kU8, {1}, "x")}, "");
  ExpectRefused({Tensor("__metadata__", Dtype::kU8, {1}, "x")}, "__metadata__");
  ExpectRefused({}, "NUL", {{"a\0"s, "b"}});
  ExpectRefused({}, "NUL", {{"a", "b\0"s}});
  ExpectRefused({}, "", {{"a", "\xff"}});
}

TEST_F(WriterTest, RefusedInputLeavesTheOldFile) {
  TF_ASSERT_OK(Write({Tensor("old", Dtype::kU8, {1}, "x")}));
  const std::string old = dir_.Read("x.safetensors");
  ExpectRefused({Tensor("a", Dtype::kF32, {2}, "1")}, "\"a\"");
  EXPECT_EQ(dir_.Read("x.safetensors"), old);
  EXPECT_THAT(dir_.List(), ElementsAre("x.safetensors"));
}

TEST_F(WriterTest, NewFileReplacesTheOldOneAndLeavesNothingElse) {
  TF_ASSERT_OK(Write({Tensor("old", Dtype::kU8, {1}, "x")}));
  TF_ASSERT_OK(Write({Tensor("new", Dtype::kU8, {1}, "y")}));
  TF_ASSERT_OK_AND_ASSIGN(const Header header, ReadBack());
  EXPECT_TRUE(header.Find("new").has_value());
  EXPECT_THAT(dir_.List(), ElementsAre("x.safetensors"));
}

TEST_F(WriterTest, ReaderOfTheOldFileKeepsItsBytes) {
  TF_ASSERT_OK(Write({Tensor("old", Dtype::kU8, {1}, "x")}));
  dir_.MakeFolder("before");
  ASSERT_EQ(::link(dir_.Path("x.safetensors").c_str(), dir_.Path("before/x.safetensors").c_str()), 0);
  const std::string old = dir_.Read("x.safetensors");
  TF_ASSERT_OK(Write({Tensor("new", Dtype::kU8, {1}, "y")}));
  EXPECT_EQ(dir_.Read("before/x.safetensors"), old) << "the file was written in place";
}

TEST_F(WriterTest, FullDiskLeavesTheOldFileAndNoTemporaryFile) {
  TF_ASSERT_OK(Write({Tensor("old", Dtype::kU8, {1}, "x")}));
  const std::string old = dir_.Read("x.safetensors");
  const std::string data(100'000, 'x');
  for (const rlim_t limit : {rlim_t{0}, rlim_t{1}, rlim_t{8}, rlim_t{100}, rlim_t{4096}, rlim_t{99'999}}) {
    absl::Status status;
    {
      const FileSizeLimit full(limit);
      status = Write({Tensor("new", Dtype::kU8, {100'000}, data)});
    }
    EXPECT_FALSE(status.ok()) << limit;
    EXPECT_THAT(test::MessageOf(status), HasSubstr("x.safetensors"));
    EXPECT_EQ(dir_.Read("x.safetensors"), old);
    EXPECT_THAT(dir_.List(), ElementsAre("x.safetensors"));
  }
}

TEST_F(WriterTest, MissingFolderIsNamed) {
  EXPECT_THAT(WriteFile(dir_.Path("none/x.safetensors"), {}),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(dir_.Path("none/x.safetensors"))));
  EXPECT_THAT(dir_.List(), IsEmpty());
}

TEST_F(WriterTest, SpecialFileIsRefusedAndUnchanged) {
  dir_.MakeFolder("x.safetensors");
  EXPECT_FALSE(Write({}).ok());
  dir_.MakeFifo("pipe");
  EXPECT_THAT(WriteFile(dir_.Path("pipe"), {}), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("pipe")));
  EXPECT_THAT(dir_.List(), ElementsAre("pipe", "x.safetensors"));
  EXPECT_FALSE(WriteFile("", {}).ok());
  EXPECT_FALSE(WriteFile(dir_.path() + "/", {}).ok());
}

TEST_F(WriterTest, PermissionsFollowTheUmask) {
  const mode_t mask = ::umask(027);
  const absl::Status status = Write({});
  ::umask(mask);
  TF_ASSERT_OK(status);
  struct stat stat = {};
  ASSERT_EQ(::stat(dir_.Path("x.safetensors").c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 07777, 0640U);
}

TEST_F(WriterTest, RandomTensorsAreReadBack) {
  test::Random random;
  for (int i = 0; i < 100; ++i) {
    std::vector<std::string> data;
    std::vector<TensorToWrite> tensors;
    const std::int64_t count = random.Between(0, 12);
    data.reserve(static_cast<std::size_t>(count));
    for (std::int64_t t = 0; t < count; ++t) {
      const Dtype dtype = random.ElementOf(AllDtypes());
      const std::vector<std::int64_t> shape = {random.Between(0, 4), 4, random.Between(0, 3)};
      data.push_back(random.Bytes(static_cast<std::size_t>(test::SizeBytes({"", dtype, shape}))));
      tensors.push_back(Tensor(std::to_string(t) + std::string(random.Below(20), 'n'), dtype, shape, data.back()));
    }
    TF_ASSERT_OK(Write(tensors));
    TF_ASSERT_OK_AND_ASSIGN(const Header header, ReadBack());
    ASSERT_EQ(header.tensor_count(), tensors.size());
    ASSERT_EQ(test::BrokenInvariant(header), "");
    for (const TensorToWrite& tensor : tensors) {
      const TensorView view = header.tensor(*header.Find(tensor.name));
      ASSERT_EQ(DataOf(view), test::AsString(tensor.data));
      ASSERT_EQ(std::vector<std::int64_t>(view.shape.begin(), view.shape.end()), tensor.shape);
    }
  }
}

}  // namespace
}  // namespace tensorferry::safetensors
