// SPDX-License-Identifier: Apache-2.0
// The generation of a model: equal for equal bytes wherever they are, different for others.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tensorferry/storage/model.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry {
namespace {

using test::FileOfTensors;
using test::IndexJson;

using ModelPtr = std::shared_ptr<const Model>;

class GenerationTest : public ::testing::Test {
 protected:
  static std::string GenerationOf(const std::string& path) {
    const absl::StatusOr<ModelPtr> model = Model::Open(path);
    EXPECT_THAT(model, test::IsOk());
    return model.ok() ? (*model)->generation() : "";
  }

  // Of a directory with these files.
  static std::string GenerationOfFiles(const std::map<std::string, std::string>& files) {
    const test::TempDir dir;
    for (const auto& [name, bytes] : files) dir.Write(name, bytes);
    return GenerationOf(dir.path());
  }
};

TEST_F(GenerationTest, EqualBytesElsewhereAtAnotherTimeHaveTheSameGeneration) {
  const test::TempDir one;
  const test::TempDir other;
  for (const test::TempDir* dir : {&one, &other}) {
    dir->Write("m/1.safetensors", FileOfTensors({"a"}));
    dir->Write("m/2.safetensors", FileOfTensors({"b"}));
  }
  const timespec times[2] = {{1'000'000'000, 1}, {1'000'000'000, 1}};
  ASSERT_EQ(::utimensat(AT_FDCWD, other.Path("m/1.safetensors").c_str(), times, 0), 0);
  ASSERT_EQ(::chmod(other.Path("m/2.safetensors").c_str(), 0600), 0);
  EXPECT_EQ(GenerationOf(one.Path("m")), GenerationOf(other.Path("m")));
  EXPECT_EQ(GenerationOf(one.Path("m")), GenerationOf(one.Path("m")));
  EXPECT_EQ(GenerationOf(one.Path("m/1.safetensors")), GenerationOf(other.Path("m/1.safetensors")));
}

TEST_F(GenerationTest, LinksToTheFilesHaveTheSameGeneration) {
  const test::TempDir dir;
  dir.Write("m/1.safetensors", FileOfTensors({"a"}));
  dir.Write("links/blob", FileOfTensors({"a"}));
  dir.MakeLink("links/1.safetensors", "blob");
  EXPECT_EQ(GenerationOf(dir.Path("m")), GenerationOf(dir.Path("links")));
}

TEST_F(GenerationTest, AnyChangedByteOfASmallTensorChangesIt) {
  const std::string file = test::ValidFile({{"a", Dtype::kF32, {5, 7}}, {"b", Dtype::kU8, {1}}});
  const std::string before = GenerationOfFiles({{"x.safetensors", file}});
  for (std::size_t i = file.size() - 141; i < file.size(); ++i) {
    std::string changed = file;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    ASSERT_NE(GenerationOfFiles({{"x.safetensors", changed}}), before) << "byte " << i << " of " << file.size();
  }
}

TEST_F(GenerationTest, EveryChangedByteOfEachTensorOfManyChangesIt) {
  std::vector<test::TensorSpec> tensors;
  for (int i = 0; i < 40; ++i) tensors.push_back({"t" + std::to_string(i), Dtype::kU8, {i}});
  const std::string file = test::ValidFile(tensors);
  const std::string before = GenerationOfFiles({{"x.safetensors", file}});
  std::size_t offset = file.size();
  for (std::int64_t i = 39; i > 0; --i) {
    offset -= static_cast<std::size_t>(i);
    std::string changed = file;
    changed[offset] = static_cast<char>(changed[offset] ^ 0x80);
    ASSERT_NE(GenerationOfFiles({{"x.safetensors", changed}}), before) << "tensor " << i;
  }
}

TEST_F(GenerationTest, FirstAndLastByteOfALargeTensorAreSeen) {
  const std::string file = test::ValidFile({{"a", Dtype::kF32, {100'000}}, {"b", Dtype::kF32, {100'000}}});
  const std::string before = GenerationOfFiles({{"x.safetensors", file}});
  for (const std::size_t from_end :
       {std::size_t{1}, std::size_t{400'000}, std::size_t{400'001}, std::size_t{800'000}}) {
    std::string changed = file;
    changed[file.size() - from_end] = static_cast<char>(changed[file.size() - from_end] ^ 1);
    EXPECT_NE(GenerationOfFiles({{"x.safetensors", changed}}), before) << from_end;
  }
}

TEST_F(GenerationTest, HeaderMetadataNamesAndIndexChangeIt) {
  const std::map<std::string, std::string> model = {
      {"1.safetensors", FileOfTensors({"a"})},
      {"2.safetensors", FileOfTensors({"b"})},
      {"model.safetensors.index.json", IndexJson({{"a", "1.safetensors"}, {"b", "2.safetensors"}})}};
  const std::string before = GenerationOfFiles(model);

  std::map<std::string, std::string> changed = model;
  changed["model.safetensors.index.json"] = IndexJson({{"a", "1.safetensors"}});
  EXPECT_NE(GenerationOfFiles(changed), before) << "index";

  changed = model;
  changed["2.safetensors"] = test::ValidFile({{"b", Dtype::kU8, {3}}}, R"({"format":"pt"})");
  EXPECT_NE(GenerationOfFiles(changed), before) << "metadata";

  changed = model;
  changed["2.safetensors"] = test::ValidFile({{"b", Dtype::kI8, {3}}});
  EXPECT_NE(GenerationOfFiles(changed), before) << "dtype";
}

TEST_F(GenerationTest, SwappedFilesChangeIt) {
  const std::string a = FileOfTensors({"a"});
  const std::string b = FileOfTensors({"b"});
  EXPECT_NE(GenerationOfFiles({{"1.safetensors", a}, {"2.safetensors", b}}),
            GenerationOfFiles({{"1.safetensors", b}, {"2.safetensors", a}}));
}

TEST_F(GenerationTest, CompanionsDoNotChangeItButHaveTheirOwnFingerprint) {
  const test::TempDir dir;
  dir.Write("x.safetensors", FileOfTensors({"a"}));
  dir.Write("config.json", "{}");
  TF_ASSERT_OK_AND_ASSIGN(const ModelPtr before, Model::Open(dir.path()));
  dir.Write("config.json", "[]");
  dir.Write("vocab.txt", "x");
  TF_ASSERT_OK_AND_ASSIGN(const ModelPtr after, Model::Open(dir.path()));
  EXPECT_EQ(before->generation(), after->generation());
  EXPECT_NE(before->FindFile("config.json")->fingerprint, after->FindFile("config.json")->fingerprint);
  EXPECT_EQ(before->FindFile("x.safetensors")->fingerprint, after->FindFile("x.safetensors")->fingerprint);
}

}  // namespace
}  // namespace tensorferry
