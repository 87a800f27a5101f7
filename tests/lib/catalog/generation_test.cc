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
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tensorferry/safetensors/model.h"
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

TEST_F(GenerationTest, CompanionsDoNotChangeItButHaveTheirOwnDigest) {
  const test::TempDir dir;
  dir.Write("x.safetensors", FileOfTensors({"a"}));
  dir.Write("config.json", "{}");
  TF_ASSERT_OK_AND_ASSIGN(const ModelPtr before, Model::Open(dir.path()));
  dir.Write("config.json", "[]");
  dir.Write("vocab.txt", "x");
  TF_ASSERT_OK_AND_ASSIGN(const ModelPtr after, Model::Open(dir.path()));
  EXPECT_EQ(before->generation(), after->generation());
  EXPECT_NE(before->FindFile("config.json")->digest, after->FindFile("config.json")->digest);
  EXPECT_EQ(before->FindFile("x.safetensors")->digest, after->FindFile("x.safetensors")->digest);
}

TEST_F(GenerationTest, FilesThatAreNoPartOfTheModelDoNotChangeIt) {
  const std::map<std::string, std::string> model = {{"x.safetensors", FileOfTensors({"a"})}};
  const std::string before = GenerationOfFiles(model);
  std::map<std::string, std::string> changed = model;
  changed["x.safetensors.sha256"] = std::string(64, 'a');
  changed["README.md"] = "words";
  changed[".x.safetensors.lock"] = "";
  EXPECT_EQ(GenerationOfFiles(changed), before);
}

// The tree digest: of all files, the companions included.
class TreeDigestTest : public ::testing::Test {
 protected:
  static std::string TreeDigestOf(const std::map<std::string, std::string>& files) {
    const test::TempDir dir;
    for (const auto& [name, bytes] : files) dir.Write(name, bytes);
    const absl::StatusOr<ModelPtr> model = Model::Open(dir.path());
    EXPECT_THAT(model, test::IsOk());
    return model.ok() ? (*model)->tree_digest() : "";
  }

  const std::map<std::string, std::string> model_ = {
      {"1.safetensors", FileOfTensors({"a"})}, {"config.json", "{}"}, {"vocab.txt", "x"}};
};

TEST_F(TreeDigestTest, IsEqualForEqualFilesElsewhere) {
  const std::string digest = TreeDigestOf(model_);
  EXPECT_THAT(digest, ::testing::MatchesRegex("[0-9a-f]+"));
  EXPECT_EQ(digest.size(), 64U);
  EXPECT_EQ(TreeDigestOf(model_), digest);
}

TEST_F(TreeDigestTest, IsAnotherIfAnyFileIsAddedRemovedRenamedOrChanged) {
  std::set<std::string> digests = {TreeDigestOf(model_)};
  const auto expect_another = [&](std::map<std::string, std::string> files) {
    EXPECT_TRUE(digests.insert(TreeDigestOf(files)).second) << digests.size();
  };
  std::map<std::string, std::string> changed = model_;
  changed["config.json"] = "[]";
  expect_another(changed);
  changed = model_;
  changed["config.json"] = "{} ";
  expect_another(changed);
  changed = model_;
  changed["vocab.json"] = "x";
  expect_another(changed);
  changed.erase("vocab.txt");
  expect_another(changed);
  changed.erase("vocab.json");
  expect_another(changed);
  changed = model_;
  changed["1.safetensors"] = FileOfTensors({"a"}, 1);
  expect_another(changed);
  changed = model_;
  std::swap(changed["config.json"], changed["vocab.txt"]);
  expect_another(changed);
}

TEST_F(TreeDigestTest, CompanionChangesItAndNotTheGeneration) {
  const test::TempDir dir;
  for (const auto& [name, bytes] : model_) dir.Write(name, bytes);
  TF_ASSERT_OK_AND_ASSIGN(const ModelPtr before, Model::Open(dir.path()));
  dir.Write("config.json", "[]");
  TF_ASSERT_OK_AND_ASSIGN(const ModelPtr after, Model::Open(dir.path()));
  EXPECT_NE(before->tree_digest(), after->tree_digest());
  EXPECT_EQ(before->generation(), after->generation());
}

}  // namespace
}  // namespace tensorferry
