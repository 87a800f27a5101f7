// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/storage/catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry {
namespace {

using test::FileOfTensors;
using test::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

using CatalogPtr = std::shared_ptr<const Catalog>;

class CatalogTest : public ::testing::Test {
 protected:
  void Load() {
    absl::StatusOr<CatalogPtr> catalog = Catalog::Load(root_.path());
    ASSERT_TRUE(catalog.ok()) << catalog.status();
    catalog_ = *std::move(catalog);
  }

  // "name" of each ready entry, "name!" of each that cannot be served.
  std::vector<std::string> Entries(bool listed_only) const {
    std::vector<std::string> names;
    for (const auto& [name, entry] : catalog_->entries()) {
      if (entry.listed || !listed_only) names.push_back(name + (entry.model.ok() ? "" : "!"));
    }
    return names;
  }
  std::vector<std::string> All() const { return Entries(false); }
  std::vector<std::string> Listed() const { return Entries(true); }

  // Why a model cannot be served.
  std::string ReasonOf(std::string_view name) const {
    const auto entry = catalog_->entries().find(name);
    if (entry == catalog_->entries().end()) return "no such entry";
    return entry->second.model.ok() ? "ready" : test::MessageOf(entry->second.model);
  }

  std::size_t TensorCount(std::string_view name) const {
    const auto model = catalog_->Find(name);
    return model.ok() ? (*model)->tensor_count() : 0;
  }

  std::string File(std::string_view name, const std::vector<std::string>& tensors = {"a"}) {
    return root_.Write(name, FileOfTensors(tensors));
  }

  test::TempDir root_;
  CatalogPtr catalog_;
};

TEST_F(CatalogTest, EmptyRootHasNoModels) {
  Load();
  EXPECT_THAT(All(), IsEmpty());
  EXPECT_THAT(catalog_->Find("."), StatusIs(absl::StatusCode::kNotFound));
}

TEST_F(CatalogTest, RootThatIsNoDirectoryIsAnErrorThatNamesIt) {
  EXPECT_THAT(Catalog::Load(root_.Path("none")), StatusIs(absl::StatusCode::kNotFound, HasSubstr(root_.Path("none"))));
  const std::string file = File("x.safetensors");
  const absl::StatusOr<CatalogPtr> catalog = Catalog::Load(file);
  EXPECT_FALSE(catalog.ok());
  EXPECT_THAT(test::MessageOf(catalog), HasSubstr(file));
}

TEST_F(CatalogTest, RootThatIsALinkWorks) {
  File("real/x.safetensors");
  TF_ASSERT_OK_AND_ASSIGN(catalog_, Catalog::Load(root_.MakeLink("link", "real")));
  EXPECT_THAT(All(), ElementsAre(".", "x.safetensors"));
}

TEST_F(CatalogTest, EachFileAndEachDirectoryOfFilesIsAModel) {
  File("top.safetensors");
  File("pair/1.safetensors", {"a"});
  File("pair/2.safetensors", {"b"});
  File("org/name/model.safetensors");
  root_.Write("docs/readme.txt", "no tensors here");
  Load();
  EXPECT_THAT(All(), ElementsAre(".", "org/name", "org/name/model.safetensors", "pair", "pair/1.safetensors",
                                 "pair/2.safetensors", "top.safetensors"));
  EXPECT_EQ(TensorCount("pair"), 2U);
  EXPECT_EQ(TensorCount("pair/1.safetensors"), 1U);
}

TEST_F(CatalogTest, OnlyFileOfADirectoryBelowTheRootIsNotListed) {
  File("one/model.safetensors");
  File("two/1.safetensors", {"a"});
  File("two/2.safetensors", {"b"});
  Load();
  EXPECT_THAT(Listed(), ElementsAre("one", "two", "two/1.safetensors", "two/2.safetensors"));
  TF_EXPECT_OK(catalog_->Find("one/model.safetensors"));
}

TEST_F(CatalogTest, OnlyFileOfTheRootIsListed) {
  File("model.safetensors");
  Load();
  EXPECT_THAT(Listed(), ElementsAre(".", "model.safetensors"));
}

TEST_F(CatalogTest, OnlyFileOfADirectoryThatIsNotReadyIsListed) {
  root_.Write("bad/model.safetensors", "broken");
  Load();
  EXPECT_THAT(Listed(), ElementsAre("bad!", "bad/model.safetensors!"));
}

TEST_F(CatalogTest, FilesThatAReadyIndexNamesAreNotListedAndOthersAre) {
  File("m/1.safetensors", {"a"});
  File("m/2.safetensors", {"b"});
  File("m/extra.safetensors", {"a", "b"});
  root_.Write("m/model.safetensors.index.json", R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})");
  Load();
  EXPECT_THAT(Listed(), ElementsAre("m", "m/extra.safetensors"));
  EXPECT_THAT(All(), ElementsAre("m", "m/1.safetensors", "m/2.safetensors", "m/extra.safetensors"));
}

TEST_F(CatalogTest, FilesOfADirectoryWhoseIndexIsBadAreListed) {
  File("m/1.safetensors", {"a"});
  root_.Write("m/model.safetensors.index.json", R"({"weight_map":{"a":"gone.safetensors"}})");
  Load();
  EXPECT_THAT(Listed(), ElementsAre("m!", "m/1.safetensors"));
  EXPECT_THAT(ReasonOf("m"), HasSubstr("m/gone.safetensors"));
}

TEST_F(CatalogTest, BadFileDoesNotHideTheGoodOnes) {
  File("good/model.safetensors");
  File("mixed/1.safetensors");
  root_.Write("mixed/2.safetensors", "broken");
  root_.Write("short.safetensors", "");
  Load();
  EXPECT_THAT(All(), ElementsAre(".!", "good", "good/model.safetensors", "mixed!", "mixed/1.safetensors",
                                 "mixed/2.safetensors!", "short.safetensors!"));
  EXPECT_THAT(ReasonOf("mixed"), HasSubstr("mixed/2.safetensors"));
  EXPECT_THAT(ReasonOf("."), HasSubstr("short.safetensors"));
}

TEST_F(CatalogTest, FindGivesTheModelOrSaysWhyNot) {
  File("good.safetensors");
  root_.Write("bad.safetensors", "broken");
  Load();
  TF_EXPECT_OK(catalog_->Find("good.safetensors"));
  EXPECT_THAT(catalog_->Find("bad.safetensors"),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("bad.safetensors")));
  EXPECT_THAT(catalog_->Find("none"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("\"none\"")));
}

TEST_F(CatalogTest, NameThatIsNotSpelledAsItIsListedIsNotFound) {
  File("m/x.safetensors");
  Load();
  for (const std::string& name :
       {std::string(), std::string("./m"), std::string("m/"), std::string("m//x.safetensors"), std::string("m/../m"),
        std::string("/m"), root_.Path("m"), std::string("../m"), std::string("M"), std::string("m\0", 2)}) {
    EXPECT_THAT(catalog_->Find(name), StatusIs(absl::StatusCode::kNotFound)) << name;
  }
  EXPECT_THAT(test::MessageOf(catalog_->Find("\x1b[2J")), Not(HasSubstr("\x1b")));
}

TEST_F(CatalogTest, SnapshotStaysAsItWas) {
  File("m/x.safetensors", {"a"});
  Load();
  const CatalogPtr before = catalog_;
  File("m/y.safetensors", {"b"});
  Load();
  EXPECT_EQ((*before->Find("m"))->tensor_count(), 1U);
  EXPECT_EQ(TensorCount("m"), 2U);
  EXPECT_NE((*before->Find("m"))->generation(), (*catalog_->Find("m"))->generation());
}

TEST_F(CatalogTest, LimitsAreKept) {
  File("many.safetensors", {"a", "b", "c"});
  TF_ASSERT_OK_AND_ASSIGN(catalog_, Catalog::Load(root_.path(), {.limits = {.tensors = 2}}));
  EXPECT_THAT(ReasonOf("many.safetensors"), HasSubstr("limit of 2"));
}

TEST_F(CatalogTest, NamesThatBeginWithADotArePassedOver) {
  File("m/x.safetensors", {"a"});
  File("m/.x.safetensors.tmp-123456.safetensors", {"a"});
  File(".hidden/x.safetensors");
  File(".x.safetensors");
  root_.Write("m/.model.safetensors.index.json", "broken");
  Load();
  EXPECT_THAT(All(), ElementsAre("m", "m/x.safetensors"));
}

TEST_F(CatalogTest, LinksInsideTheRootWorkAsInTheCacheOfHuggingFace) {
  File("models--x/blobs/0123", {"a", "b"});
  root_.Write("models--x/blobs/4567", "{}");
  root_.MakeLink("models--x/snapshots/main/model.safetensors", "../../blobs/0123");
  root_.MakeLink("models--x/snapshots/main/config.json", "../../blobs/4567");
  Load();
  EXPECT_THAT(Listed(), ElementsAre("models--x/snapshots/main"));
  EXPECT_EQ(TensorCount("models--x/snapshots/main"), 2U);
  EXPECT_NE((*catalog_->Find("models--x/snapshots/main"))->FindFile("config.json"), nullptr);
}

TEST_F(CatalogTest, LinksThroughHiddenFoldersWorkAsKubernetesMakesThem) {
  File("..2024_01_01/model.safetensors");
  root_.MakeLink("..data", "..2024_01_01");
  root_.MakeLink("model.safetensors", "..data/model.safetensors");
  Load();
  EXPECT_THAT(All(), ElementsAre(".", "model.safetensors"));
}

TEST_F(CatalogTest, LinkToADirectoryInsideTheRootIsAModelOfItsOwn) {
  File("v1/model.safetensors");
  root_.MakeLink("current", "v1");
  Load();
  EXPECT_THAT(Listed(), ElementsAre("current", "v1"));
}

TEST_F(CatalogTest, LinkOutOfTheRootIsNotServed) {
  const test::TempDir elsewhere;
  const std::string secret = elsewhere.Write("secret.safetensors", FileOfTensors({"secret"}));
  File("m/good.safetensors");
  root_.MakeLink("absolute.safetensors", secret);
  root_.MakeLink("relative.safetensors",
                 "../" + elsewhere.path().substr(elsewhere.path().rfind('/') + 1) + "/secret.safetensors");
  root_.MakeLink("m2/chain.safetensors", "../absolute.safetensors");
  Load();
  for (const std::string_view name : {"absolute.safetensors", "relative.safetensors", "m2/chain.safetensors", "m2"}) {
    EXPECT_THAT(catalog_->Find(name), StatusIs(absl::StatusCode::kFailedPrecondition)) << name;
    EXPECT_THAT(ReasonOf(name), HasSubstr("out of the root")) << name;
    EXPECT_THAT(ReasonOf(name), Not(HasSubstr(elsewhere.path()))) << "tells where it leads";
  }
  TF_EXPECT_OK(catalog_->Find("m"));
}

TEST_F(CatalogTest, AbsoluteLinkIsNotServedEvenIfItLeadsBackIntoTheRoot) {
  root_.MakeLink("link.safetensors", File("m/x.safetensors"));
  Load();
  EXPECT_THAT(catalog_->Find("link.safetensors"), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(CatalogTest, LinkToADirectoryOutOfTheRootIsNotEntered) {
  const test::TempDir elsewhere;
  elsewhere.Write("secret.safetensors", FileOfTensors({"secret"}));
  File("m/x.safetensors");
  root_.MakeLink("out", elsewhere.path());
  root_.MakeLink("up", "..");
  Load();
  for (const auto& [name, entry] : catalog_->entries()) {
    EXPECT_TRUE(name.starts_with('m') || !entry.model.ok()) << name;
  }
  TF_EXPECT_OK(catalog_->Find("m"));
}

TEST_F(CatalogTest, LinksThatLeadNowhereOrInCirclesAreBadModels) {
  root_.MakeLink("dangling.safetensors", "none");
  root_.MakeLink("loop.safetensors", "loop.safetensors");
  File("m/x.safetensors");
  Load();
  EXPECT_THAT(All(), ElementsAre(".!", "dangling.safetensors!", "loop.safetensors!", "m", "m/x.safetensors"));
  EXPECT_THAT(ReasonOf("dangling.safetensors"), HasSubstr("dangling.safetensors"));
}

TEST_F(CatalogTest, LinksToFoldersAboveEndTheScan) {
  File("a/b/x.safetensors");
  root_.MakeLink("a/b/self", ".");
  root_.MakeLink("a/b/above", "..");
  root_.MakeLink("a/top", "../a");
  root_.MakeLink("a/b/one", "../../c");
  root_.MakeFolder("c");
  root_.MakeLink("c/two", "../a/b");
  Load();
  TF_EXPECT_OK(catalog_->Find("a/b"));
  EXPECT_LT(All().size(), 20U);
}

TEST_F(CatalogTest, LinkToTheRootItselfEndsTheScan) {
  File("x.safetensors");
  root_.MakeLink("self", ".");
  Load();
  EXPECT_THAT(All(), ElementsAre(".", "x.safetensors"));
}

TEST_F(CatalogTest, WhatIsNoRegularFileIsNotServedAndDoesNotBlock) {
  root_.MakeFifo("fifo.safetensors");
  root_.MakeSocket("socket.safetensors");
  root_.MakeFolder("folder.safetensors");
  root_.MakeLink("device.safetensors", "/dev/zero");
  File("m/x.safetensors");
  Load();
  for (const std::string_view name : {"fifo.safetensors", "socket.safetensors", "device.safetensors"}) {
    EXPECT_THAT(catalog_->Find(name), StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr(std::string(name))));
  }
  EXPECT_THAT(catalog_->Find("folder.safetensors"), StatusIs(absl::StatusCode::kNotFound));
  TF_EXPECT_OK(catalog_->Find("m"));
}

TEST_F(CatalogTest, DirectoryNamedLikeAFileIsADirectory) {
  File("folder.safetensors/x.safetensors", {"a", "b"});
  Load();
  EXPECT_THAT(Listed(), ElementsAre("folder.safetensors"));
  EXPECT_EQ(TensorCount("folder.safetensors"), 2U);
}

TEST_F(CatalogTest, DeepFolderIsScannedWithoutEnd) {
  std::string folder = "d";
  for (int i = 0; i < 100; ++i) folder += "/d";
  File(folder + "/x.safetensors");
  File("m/x.safetensors");
  Load();
  TF_EXPECT_OK(catalog_->Find("m"));
}

TEST_F(CatalogTest, NamesOfAnyTextAreServedAndEscapedInReasons) {
  File("größe/モデル.safetensors");
  root_.Write("bad\x1b[2J.safetensors", "broken");
  Load();
  TF_EXPECT_OK(catalog_->Find("größe"));
  EXPECT_THAT(ReasonOf("bad\x1b[2J.safetensors"), AllOf(HasSubstr("bad\\u{1b}[2J"), Not(HasSubstr("\x1b"))));
}

TEST_F(CatalogTest, IndexDoesNotReachIntoOtherModels) {
  File("secret/x.safetensors", {"a"});
  root_.MakeLink("m/inside.safetensors", "../secret/x.safetensors");
  root_.Write("m/model.safetensors.index.json", R"({"weight_map":{"a":"../secret/x.safetensors"}})");
  Load();
  EXPECT_THAT(ReasonOf("m"), AllOf(HasSubstr("m/model.safetensors.index.json"), HasSubstr("folder")));
}

TEST_F(CatalogTest, EqualModelsHaveEqualGenerationsUnderAnyName) {
  File("one/x.safetensors");
  File("two/x.safetensors");
  Load();
  EXPECT_EQ((*catalog_->Find("one"))->generation(), (*catalog_->Find("two"))->generation());
}

}  // namespace
}  // namespace tensorferry
