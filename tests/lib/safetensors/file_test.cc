// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/safetensors/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/files/mapped_file.h"
#include "tensorferry/safetensors/writer.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry {
namespace {

using test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

using SafetensorsFilePtr = std::shared_ptr<const SafetensorsFile>;

TEST(SafetensorsFileTest, TensorsDataIsReadFromTheMapping) {
  const test::TempDir dir;
  const std::string bytes = test::SafetensorsBytes(
      test::HeaderJson({{"a", Dtype::kU8, {3}}, {"none", Dtype::kF64, {0}}, {"b", Dtype::kU8, {2}}}), "abcde");
  TF_ASSERT_OK_AND_ASSIGN(const SafetensorsFilePtr file, SafetensorsFile::Open(dir.Write("x.safetensors", bytes)));
  const safetensors::Header& header = file->header();
  EXPECT_EQ(header.tensor_count(), 3U);
  EXPECT_EQ(test::AsString(file->data(header.tensor(*header.Find("a")))), "abc");
  EXPECT_EQ(test::AsString(file->data(header.tensor(*header.Find("b")))), "de");
  EXPECT_TRUE(file->data(header.tensor(*header.Find("none"))).empty());
  EXPECT_EQ(file->data_offset(), static_cast<std::int64_t>(bytes.size()) - 5);
  EXPECT_EQ(file->data(header.tensor(0)).data(), file->file()->bytes().data() + file->data_offset())
      << "the data was copied";
}

TEST(SafetensorsFileTest, FileOfTheWriterIsRead) {
  const test::TempDir dir;
  const std::string data = "12345678";
  const std::vector<safetensors::TensorToWrite> tensors = {
      {.name = "w", .dtype = Dtype::kF32, .shape = {2}, .data = test::AsBytes(data)}};
  TF_ASSERT_OK(safetensors::WriteFile(dir.Path("x.safetensors"), tensors));
  TF_ASSERT_OK_AND_ASSIGN(const SafetensorsFilePtr file, SafetensorsFile::Open(dir.Path("x.safetensors")));
  EXPECT_EQ(test::AsString(file->data(file->header().tensor(0))), data);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(file->data(file->header().tensor(0)).data()) % 64, 0U);
}

TEST(SafetensorsFileTest, InvalidFileIsDataLossWithItsPath) {
  const test::TempDir dir;
  const std::string valid = test::FileOfTensors({"a", "b"});
  const std::vector<std::string> broken = {
      "",
      "1234567",
      std::string(8, '\0'),
      std::string(8, '\xff') + "{}",
      "this is text, not tensors",
      valid.substr(0, 20),
      valid.substr(0, valid.size() - 1),
      valid + "x",
  };
  for (const std::string& bytes : broken) {
    const std::string path = dir.Write("x.safetensors", bytes);
    EXPECT_THAT(SafetensorsFile::Open(path), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path)));
  }
}

TEST(SafetensorsFileTest, ErrorNamesFileAndTensor) {
  const test::TempDir dir;
  const std::string path =
      dir.Write("x.safetensors", test::SafetensorsBytes("{" + test::EntryJson("a.b", "F99", "1", 0, 1) + "}", "x"));
  EXPECT_THAT(SafetensorsFile::Open(path),
              StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr(path), HasSubstr("\"a.b\""), HasSubstr("F99"))));
}

TEST(SafetensorsFileTest, FileOverALimitIsRefused) {
  const test::TempDir dir;
  const std::string path = dir.Write("x.safetensors", test::FileOfTensors({"a", "b"}));
  EXPECT_THAT(SafetensorsFile::Open(path, {.tensors = 1}), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("limit")));
  EXPECT_THAT(SafetensorsFile::Open(path, {.header_bytes = 10}),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("limit")));
}

TEST(SafetensorsFileTest, SpecialFileIsRefusedAsByMappedFile) {
  const test::TempDir dir;
  EXPECT_THAT(SafetensorsFile::Open(dir.MakeFifo("x.safetensors")), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(SafetensorsFile::Open(dir.path()), StatusIs(absl::StatusCode::kFailedPrecondition));
  EXPECT_THAT(SafetensorsFile::Open(dir.Path("none")), StatusIs(absl::StatusCode::kNotFound));
}

TEST(SafetensorsFileTest, FileThatShrankSinceItWasMappedIsRefusedWithoutASignal) {
  const test::TempDir dir;
  const std::string path = dir.Write("x.safetensors", test::FileOfTensors({"a", "b"}));
  for (const off_t size : {30, 8, 5, 0}) {
    dir.Write("x.safetensors", test::FileOfTensors({"a", "b"}));
    TF_ASSERT_OK_AND_ASSIGN(const std::shared_ptr<const MappedFile> mapped, MappedFile::Open(path));
    ASSERT_EQ(::truncate(path.c_str(), size), 0);
    EXPECT_THAT(SafetensorsFile::Create(mapped), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(path)));
  }
}

TEST(SafetensorsFileTest, FileOutlivesItsName) {
  const test::TempDir dir;
  const std::string path =
      dir.Write("x.safetensors", test::SafetensorsBytes(test::HeaderJson({{"a", Dtype::kU8, {3}}}), "abc"));
  TF_ASSERT_OK_AND_ASSIGN(const SafetensorsFilePtr file, SafetensorsFile::Open(path));
  ASSERT_EQ(::unlink(path.c_str()), 0);
  EXPECT_EQ(test::AsString(file->data(file->header().tensor(0))), "abc");
}

TEST(SafetensorsFileTest, SparseFileOfManyGigabytesIsOpenedWithoutReadingIt) {
  const test::TempDir dir;
  const std::int64_t size = std::int64_t{64} << 30;
  const std::string head =
      test::SafetensorsBytes("{" + test::EntryJson("a", "U8", std::to_string(size), 0, size) + "}");
  const std::string path = dir.Write("x.safetensors", head);
  ASSERT_EQ(::truncate(path.c_str(), static_cast<off_t>(head.size()) + size), 0);
  TF_ASSERT_OK_AND_ASSIGN(const SafetensorsFilePtr file, SafetensorsFile::Open(path));
  const auto data = file->data(file->header().tensor(0));
  EXPECT_EQ(data.size(), static_cast<std::size_t>(size));
  EXPECT_EQ(data.back(), std::byte{0});
}

}  // namespace
}  // namespace tensorferry
