// SPDX-License-Identifier: Apache-2.0
// Links, folders and what is no regular file: what the scan follows, and where it ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/lib/catalog/catalog_fixture.h"

namespace tensorferry {
namespace {

using test::FileOfTensors;
using test::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using CatalogTreeTest = test::CatalogFixture;

TEST_F(CatalogTreeTest, LinksInsideTheRootWorkAsInTheCacheOfHuggingFace) {
  File("models--x/blobs/0123", {"a", "b"});
  root_.Write("models--x/blobs/4567", "{}");
  root_.MakeLink("models--x/snapshots/main/model.safetensors", "../../blobs/0123");
  root_.MakeLink("models--x/snapshots/main/config.json", "../../blobs/4567");
  Load();
  EXPECT_THAT(Listed(), ElementsAre("models--x/snapshots/main"));
  EXPECT_EQ(TensorCount("models--x/snapshots/main"), 2U);
  EXPECT_NE((*catalog_->Find("models--x/snapshots/main"))->FindFile("config.json"), nullptr);
}

TEST_F(CatalogTreeTest, LinksThroughHiddenFoldersWorkAsKubernetesMakesThem) {
  File("..2024_01_01/model.safetensors");
  root_.MakeLink("..data", "..2024_01_01");
  root_.MakeLink("model.safetensors", "..data/model.safetensors");
  Load();
  EXPECT_THAT(All(), ElementsAre(".", "model.safetensors"));
}

TEST_F(CatalogTreeTest, LinkToADirectoryInsideTheRootIsAModelOfItsOwn) {
  File("v1/model.safetensors");
  root_.MakeLink("current", "v1");
  Load();
  EXPECT_THAT(Listed(), ElementsAre("current", "v1"));
}

TEST_F(CatalogTreeTest, LinkOutOfTheRootIsNotServed) {
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

TEST_F(CatalogTreeTest, AbsoluteLinkIsNotServedEvenIfItLeadsBackIntoTheRoot) {
  root_.MakeLink("link.safetensors", File("m/x.safetensors"));
  Load();
  EXPECT_THAT(catalog_->Find("link.safetensors"), StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST_F(CatalogTreeTest, LinkToADirectoryOutOfTheRootIsNotEntered) {
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

TEST_F(CatalogTreeTest, LinksThatLeadNowhereOrInCirclesAreBadModels) {
  root_.MakeLink("dangling.safetensors", "none");
  root_.MakeLink("loop.safetensors", "loop.safetensors");
  File("m/x.safetensors");
  Load();
  EXPECT_THAT(All(), ElementsAre(".!", "dangling.safetensors!", "loop.safetensors!", "m", "m/x.safetensors"));
  EXPECT_THAT(ReasonOf("dangling.safetensors"), HasSubstr("dangling.safetensors"));
}

TEST_F(CatalogTreeTest, LinksToFoldersAboveEndTheScan) {
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

TEST_F(CatalogTreeTest, LinkToTheRootItselfEndsTheScan) {
  File("x.safetensors");
  root_.MakeLink("self", ".");
  Load();
  EXPECT_THAT(All(), ElementsAre(".", "x.safetensors"));
}

TEST_F(CatalogTreeTest, WhatIsNoRegularFileIsNotServedAndDoesNotBlock) {
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

TEST_F(CatalogTreeTest, DirectoryNamedLikeAFileIsADirectory) {
  File("folder.safetensors/x.safetensors", {"a", "b"});
  Load();
  EXPECT_THAT(Listed(), ElementsAre("folder.safetensors"));
  EXPECT_EQ(TensorCount("folder.safetensors"), 2U);
}

TEST_F(CatalogTreeTest, DeepFolderIsScannedWithoutEnd) {
  std::string folder = "d";
  for (int i = 0; i < 100; ++i) folder += "/d";
  File(folder + "/x.safetensors");
  File("m/x.safetensors");
  Load();
  TF_EXPECT_OK(catalog_->Find("m"));
}

TEST_F(CatalogTreeTest, IndexDoesNotReachIntoOtherModels) {
  File("secret/x.safetensors", {"a"});
  root_.MakeLink("m/inside.safetensors", "../secret/x.safetensors");
  root_.Write("m/model.safetensors.index.json", R"({"weight_map":{"a":"../secret/x.safetensors"}})");
  Load();
  EXPECT_THAT(ReasonOf("m"), AllOf(HasSubstr("m/model.safetensors.index.json"), HasSubstr("folder")));
}

}  // namespace
}  // namespace tensorferry
