// SPDX-License-Identifier: Apache-2.0
// Catalog::Reload: what it keeps although it is gone, and what it must not keep.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "lib/catalog/catalog.h"
#include "lib/files/mapped_file.h"
#include "tests/lib/catalog/reload_fixture.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry {
namespace {

using test::FileOfTensors;
using test::ModelPtr;
using test::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using ReloadBrokenTest = test::ReloadFixture;

TEST_F(ReloadBrokenTest, FileWrittenInPlaceIsLoadedAnew) {
  const std::string new_bytes = FileOfTensors({"a"}, 2);
  Write("m.safetensors", {"a"}, 1);
  Reload();
  const ModelPtr before = Find("m.safetensors");
  root_.Write("m.safetensors", new_bytes);
  Reload();
  EXPECT_EQ(DataOf(Find("m.safetensors"), "a"), DataOfFile(new_bytes));
  EXPECT_NE(Find("m.safetensors")->generation(), before->generation());
  EXPECT_NE(Find("m.safetensors")->files()[0].file, before->files()[0].file);
  EXPECT_EQ(ReasonOf("m.safetensors"), "");
}

TEST_F(ReloadBrokenTest, FileTruncatedInPlaceIsNotServedAnyMore) {
  const std::string path = Write("m.safetensors");
  Write("n.safetensors", {"n"});
  Reload();
  ASSERT_NE(Find("."), nullptr);
  ASSERT_EQ(::truncate(path.c_str(), 20), 0);
  Reload();
  EXPECT_THAT(Names(), ElementsAre(".!", "m.safetensors!", "n.safetensors"));
  EXPECT_THAT(ReasonOf("m.safetensors"), HasSubstr("m.safetensors"));
  EXPECT_TRUE(NothingChanged());
}

TEST_F(ReloadBrokenTest, BrokenReplacementLeavesTheOldModelAndSaysWhy) {
  const std::string old_bytes = FileOfTensors({"a"}, 1);
  const std::string half = FileOfTensors({"a"}, 2).substr(0, old_bytes.size() - 1);
  root_.Write("m/x.safetensors", old_bytes);
  Reload();
  const ModelPtr before = Find("m");
  for (const std::string& broken : {half, std::string("garbage"), std::string()}) {
    Replace("m/x.safetensors", broken);
    Reload();
    EXPECT_EQ(Find("m"), before);
    EXPECT_EQ(DataOf(Find("m"), "a"), DataOfFile(old_bytes));
    EXPECT_THAT(ReasonOf("m"), HasSubstr("m/x.safetensors"));
    EXPECT_FALSE(catalog_->entries().find("m/x.safetensors")->second.listed);
    EXPECT_TRUE(NothingChanged());
  }
  Replace("m/x.safetensors", FileOfTensors({"a"}, 3));
  Reload();
  EXPECT_EQ(DataOf(Find("m"), "a"), DataOfFile(FileOfTensors({"a"}, 3)));
  EXPECT_EQ(ReasonOf("m"), "");
}

TEST_F(ReloadBrokenTest, OldModelThatIsKeptGoesWhenItsNameDoes) {
  Write("m/x.safetensors");
  Reload();
  const int fd = Find("m")->files()[0].file->fd();
  Replace("m/x.safetensors", "broken");
  Reload();
  ASSERT_NE(Find("m"), nullptr);
  Remove("m");
  Reload();
  EXPECT_THAT(Names(), IsEmpty());
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
}

TEST_F(ReloadBrokenTest, OldModelThatIsKeptGoesWhenItsFileIsWrittenTo) {
  const std::string path = Write("m.safetensors");
  ASSERT_EQ(::link(path.c_str(), root_.Path(".old").c_str()), 0);
  Reload();
  Replace("m.safetensors", "broken");
  Reload();
  ASSERT_NE(Find("m.safetensors"), nullptr);
  root_.Write(".old", "overwritten");
  Reload();
  EXPECT_EQ(Find("m.safetensors"), nullptr);
  EXPECT_THAT(ReasonOf("m.safetensors"), HasSubstr("too short"));
}

TEST_F(ReloadBrokenTest, ModelThatNeverWorkedHasNoOldVersion) {
  root_.Write("m.safetensors", "broken");
  Reload();
  Replace("m.safetensors", "broken in another way");
  Reload();
  EXPECT_EQ(Find("m.safetensors"), nullptr);
  Replace("m.safetensors", FileOfTensors({"a"}));
  Reload();
  EXPECT_NE(Find("m.safetensors"), nullptr);
}

TEST_F(ReloadBrokenTest, MissingShardLeavesTheOldModelAndItsFilesUnlisted) {
  Write("m/1.safetensors", {"a"});
  Write("m/2.safetensors", {"b"});
  root_.Write("m/model.safetensors.index.json", test::kTwoShards);
  Reload();
  const ModelPtr before = Find("m");
  Remove("m/2.safetensors");
  Reload();
  EXPECT_EQ(Find("m"), before);
  EXPECT_THAT(ReasonOf("m"), HasSubstr("m/2.safetensors"));
  EXPECT_FALSE(catalog_->entries().find("m/1.safetensors")->second.listed);
  EXPECT_EQ(Find("m/2.safetensors"), nullptr);
  EXPECT_TRUE(NothingChanged());
  Write("m/2.safetensors", {"b"}, 5);
  Reload();
  EXPECT_EQ(DataOf(Find("m"), "b"), DataOfFile(FileOfTensors({"b"}, 5)));
  EXPECT_EQ(ReasonOf("m"), "");
}

TEST_F(ReloadBrokenTest, IndexAndShardsMayBeReplacedOneByOne) {
  Write("m/1.safetensors", {"a"});
  Write("m/2.safetensors", {"b"});
  root_.Write("m/model.safetensors.index.json", test::kTwoShards);
  Reload();
  const ModelPtr before = Find("m");
  // Until the index and the shards fit again, the old ones are served.
  Replace("m/model.safetensors.index.json", R"({"weight_map":{"c":"1.safetensors"}})");
  Reload();
  EXPECT_EQ(Find("m"), before);
  EXPECT_THAT(ReasonOf("m"), HasSubstr("weight_map"));
  Replace("m/1.safetensors", FileOfTensors({"c"}));
  Reload();
  EXPECT_EQ(ReasonOf("m"), "");
  EXPECT_EQ(Find("m")->tensor_count(), 1U);
  // The index alone may change what the model is.
  Replace("m/model.safetensors.index.json", R"({"weight_map":{"b":"2.safetensors","c":"1.safetensors"}})");
  Reload();
  EXPECT_EQ(Find("m")->tensor_count(), 2U);
  // A file that the index does not name changes nothing of the model.
  const ModelPtr last = Find("m");
  Write("m/extra.safetensors", {"b"});
  Reload();
  EXPECT_EQ(Find("m"), last);
}

TEST_F(ReloadBrokenTest, FileOfADirectoryWithoutAnIndexThatIsBadLeavesTheOldModel) {
  Write("m/1.safetensors", {"a"});
  Write("m/2.safetensors", {"b"});
  Reload();
  const ModelPtr before = Find("m");
  // In the place of one, in the place of both (one tensor is in two files for a moment), and next to them.
  Replace("m/2.safetensors", "broken");
  Reload();
  EXPECT_EQ(Find("m"), before);
  Replace("m/2.safetensors", FileOfTensors({"a"}));
  Reload();
  EXPECT_EQ(Find("m"), before);
  EXPECT_THAT(ReasonOf("m"), HasSubstr("duplicate tensor"));
  Replace("m/1.safetensors", FileOfTensors({"b"}));
  root_.Write("m/3.safetensors", "half");
  Reload();
  EXPECT_EQ(Find("m"), before);
  Remove("m/3.safetensors");
  Reload();
  EXPECT_EQ(ReasonOf("m"), "");
  EXPECT_NE(Find("m"), before);
}

TEST_F(ReloadBrokenTest, FilesThatAreAddedOrRemovedAreNoBadReplacement) {
  Write("1.safetensors", {"a"});
  Reload();
  const int fd = Find(".")->files()[0].file->fd();
  Write("2.safetensors", {"a"}, 2);
  Write("3.safetensors", {"a"}, 3);
  Reload();
  EXPECT_EQ(Find("."), nullptr);
  // Nothing holds what is deleted, whether the rest makes a model or not.
  Remove("1.safetensors");
  Reload();
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
  EXPECT_THAT(Names(), ElementsAre(".!", "2.safetensors", "3.safetensors"));
}

TEST_F(ReloadBrokenTest, RootThatCannotBeScannedIsAnError) {
  Write("m.safetensors");
  Reload();
  const std::string moved = root_.path() + ".moved";
  ASSERT_EQ(std::rename(root_.path().c_str(), moved.c_str()), 0);
  EXPECT_THAT(Catalog::Reload(root_.path(), catalog_), StatusIs(absl::StatusCode::kNotFound, HasSubstr(root_.path())));
  ASSERT_EQ(std::rename(moved.c_str(), root_.path().c_str()), 0);
  EXPECT_TRUE(NothingChanged());
}

TEST_F(ReloadBrokenTest, DirectoryThatCannotBeEnteredKeepsItsModels) {
  Write("org/m/x.safetensors");
  Reload();
  const ModelPtr before = Find("org/m");
  // As a volume does that is away for a while; permissions would not stop root.
  Rename("org", ".org");
  root_.MakeLink("org", "/proc/self/root");
  Reload();
  EXPECT_EQ(Find("org/m"), before);
  EXPECT_THAT(ReasonOf("org/m"), HasSubstr("out of the root"));
  EXPECT_THAT(Names(), ElementsAre("org!", "org/m", "org/m/x.safetensors"));
  EXPECT_TRUE(NothingChanged());
  Remove("org");
  Rename(".org", "org");
  Reload();
  EXPECT_EQ(Find("org/m"), before);
  EXPECT_EQ(ReasonOf("org/m"), "");
  EXPECT_THAT(Names(), ElementsAre("org/m", "org/m/x.safetensors"));
}

TEST_F(ReloadBrokenTest, FileThatCouldNotBeReadIsTriedAgain) {
  root_.MakeFifo("m.safetensors");
  Reload();
  EXPECT_THAT(Names(), ElementsAre(".!", "m.safetensors!"));
  EXPECT_TRUE(NothingChanged());
  Remove("m.safetensors");
  Write("m.safetensors");
  Reload();
  EXPECT_THAT(Names(), ElementsAre(".", "m.safetensors"));
}

}  // namespace
}  // namespace tensorferry
