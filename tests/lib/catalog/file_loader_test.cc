// SPDX-License-Identifier: Apache-2.0
// Files that change between the steps of a scan: Find, Load and IsUpToDate.
#include "lib/catalog/file_loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "lib/files/file_identity.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry {
namespace {

using Kind = ModelFile::Kind;
using ::testing::HasSubstr;

class FileLoaderTest : public ::testing::Test {
 protected:
  FileLoaderTest() : root_(*RootDirectory::Open(dir_.path())), loader_(root_, options_, nothing_) {}

  void Write(std::string_view name, const std::vector<std::string>& tensors) {
    dir_.Write(".new", test::FileOfTensors(tensors));
    std::filesystem::rename(dir_.Path(".new"), dir_.Path(name));
  }

  std::vector<FileToLoad> Find(const std::vector<std::string>& names, const ScannedDirectory* before = nullptr) {
    const absl::StatusOr<RootDirectory::Listing> listing = root_.List(".");
    std::vector<FileToLoad> files;
    for (const std::string& name : names) {
      files.push_back(loader_.Find(*listing, ".", name, Kind::kSafetensors, before));
    }
    return files;
  }

  bool IsUpToDate(const LoadedFiles& files, const std::string& name) {
    const absl::StatusOr<RootDirectory::Listing> listing = root_.List(".");
    return loader_.IsUpToDate(*listing, ".", name, *files.at(name));
  }

  test::TempDir dir_;
  const LoadOptions options_;
  const ScannedDirectories nothing_;
  const RootDirectory root_;
  FileLoader loader_;
};

std::size_t TensorCount(const LoadedFiles& files, const std::string& name) {
  const absl::StatusOr<ModelFile>& file = files.at(name)->file;
  return file.ok() ? file->tensors->header().tensor_count() : 0;
}

TEST_F(FileLoaderTest, FileThatHasNotChangedIsNotLookedAtAgain) {
  Write("a", {"x"});
  ScannedDirectory before;
  before.files = loader_.Load(Find({"a"}));
  FileLoader next(root_, options_, nothing_);
  const std::vector<FileToLoad> found = Find({"a"}, &before);
  std::filesystem::remove(dir_.Path("a"));
  EXPECT_EQ(next.Load(found), before.files);
}

TEST_F(FileLoaderTest, FileReplacedBeforeItIsOpenedIsLoadedAsItIsThen) {
  for (const std::size_t size : {1U, 2U, 100U}) {
    Write("a", {"old", "older"});
    const std::vector<FileToLoad> found = Find({"a"});
    Write("a", std::vector<std::string>(1, std::string(size, 'n')));
    const LoadedFiles loaded = loader_.Load(found);
    EXPECT_EQ(TensorCount(loaded, "a"), 1U);
    EXPECT_NE(loaded.at("a")->identity, IdentityOf(*found[0].stat));
    EXPECT_TRUE(IsUpToDate(loaded, "a"));
  }
}

TEST_F(FileLoaderTest, FileWrittenToBeforeItIsOpenedIsLoadedAsItIsThen) {
  for (const std::vector<std::string>& tensors : {std::vector<std::string>{"a"}, {"a", "b", "c", "d"}}) {
    dir_.Write("a", test::FileOfTensors({"a", "b"}));
    const std::vector<FileToLoad> found = Find({"a"});
    dir_.Write("a", test::FileOfTensors(tensors));
    const LoadedFiles loaded = loader_.Load(found);
    EXPECT_EQ(TensorCount(loaded, "a"), tensors.size());
    EXPECT_EQ(loaded.at("a")->file->file->size_bytes(), std::filesystem::file_size(dir_.Path("a")));
  }
}

TEST_F(FileLoaderTest, FileThatVanishesOrBecomesAnotherKindBeforeItIsOpenedIsRefused) {
  for (const std::string_view content : {"", "not empty"}) {
    dir_.Write("a", content);
    const std::vector<FileToLoad> found = Find({"a"});
    std::filesystem::remove(dir_.Path("a"));
    LoadedFiles loaded = loader_.Load(found);
    EXPECT_THAT(loaded.at("a")->file, test::StatusIs(absl::StatusCode::kNotFound, HasSubstr("\"a\"")));
    EXPECT_FALSE(IsUpToDate(loaded, "a"));
    dir_.MakeFifo("a");
    loaded = loader_.Load(found);
    EXPECT_THAT(test::MessageOf(loaded.at("a")->file), HasSubstr("not a regular file"));
    std::filesystem::remove(dir_.Path("a"));
    dir_.MakeFolder("a");
    loaded = loader_.Load(found);
    EXPECT_THAT(test::MessageOf(loaded.at("a")->file), HasSubstr("not a regular file"));
    std::filesystem::remove(dir_.Path("a"));
  }
}

TEST_F(FileLoaderTest, FilesOpenedAsTheyWereFoundWereThereTogetherWhateverComesLater) {
  Write("a", {"x"});
  Write("b", {"y"});
  const LoadedFiles loaded = loader_.Load(Find({"a", "b"}));
  Write("b", {"y", "z"});
  EXPECT_TRUE(IsUpToDate(loaded, "a"));
  EXPECT_TRUE(IsUpToDate(loaded, "b"));
}

TEST_F(FileLoaderTest, FileReplacedBeforeItIsOpenedMayNotBelongToOthersThatChangeLater) {
  Write("a", {"x"});
  Write("b", {"y"});
  const std::vector<FileToLoad> found = Find({"a", "b"});
  Write("a", {"x", "z"});
  const LoadedFiles loaded = loader_.Load(found);
  EXPECT_TRUE(IsUpToDate(loaded, "b"));
  Write("b", {"y", "z"});
  EXPECT_TRUE(IsUpToDate(loaded, "a"));
  EXPECT_FALSE(IsUpToDate(loaded, "b"));
}

TEST_F(FileLoaderTest, FileThatWasNotOpenedMayNotBelongToOthersIfItChangesLater) {
  Write("a", {"x"});
  ScannedDirectory before;
  before.files = loader_.Load(Find({"a"}));
  Write("b", {"y"});
  const LoadedFiles loaded = loader_.Load(Find({"a", "b"}, &before));
  EXPECT_EQ(loaded.at("a"), before.files.at("a"));
  EXPECT_TRUE(IsUpToDate(loaded, "a"));
  Write("a", {"x", "z"});
  EXPECT_FALSE(IsUpToDate(loaded, "a"));
  EXPECT_TRUE(IsUpToDate(loaded, "b"));
}

TEST_F(FileLoaderTest, LinkThatIsTurnedBeforeItsFileIsOpenedIsFollowedAgain) {
  Write("1", {"x"});
  Write("2", {"x", "y"});
  dir_.MakeLink("a", "1");
  const std::vector<FileToLoad> found = Find({"a"});
  std::filesystem::remove(dir_.Path("a"));
  dir_.MakeLink("a", "2");
  const LoadedFiles loaded = loader_.Load(found);
  EXPECT_EQ(TensorCount(loaded, "a"), 2U);
  EXPECT_TRUE(IsUpToDate(loaded, "a"));
  std::filesystem::remove(dir_.Path("a"));
  dir_.MakeLink("a", "1");
  EXPECT_FALSE(IsUpToDate(loaded, "a"));
}

TEST_F(FileLoaderTest, TwoNamesOfOneFileAreOpenedOnce) {
  Write("a", {"x"});
  dir_.MakeLink("b", "a");
  const LoadedFiles loaded = loader_.Load(Find({"a", "b"}));
  ASSERT_EQ(TensorCount(loaded, "b"), 1U);
  EXPECT_EQ(loaded.at("a")->file->file, loaded.at("b")->file->file);
  EXPECT_EQ(loaded.at("b")->file->name, "b");
}

}  // namespace
}  // namespace tensorferry
