// SPDX-License-Identifier: Apache-2.0
// Which models there are, what they are called, and which are listed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/lib/catalog/catalog_fixture.h"

namespace tensorferry {
namespace {

using test::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using CatalogTest = test::CatalogFixture;
using CatalogPtr = std::shared_ptr<const Catalog>;

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
  // "good/model.safetensors" is not listed.
  EXPECT_EQ(catalog_->CountListed().ready, 2);
  EXPECT_EQ(catalog_->CountListed().failed, 4);
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

TEST_F(CatalogTest, NamesOfAnyTextAreServedAndEscapedInReasons) {
  File("größe/モデル.safetensors");
  root_.Write("bad\x1b[2J.safetensors", "broken");
  Load();
  TF_EXPECT_OK(catalog_->Find("größe"));
  EXPECT_THAT(ReasonOf("bad\x1b[2J.safetensors"), AllOf(HasSubstr("bad\\u{1b}[2J"), Not(HasSubstr("\x1b"))));
}

TEST_F(CatalogTest, EqualModelsHaveEqualGenerationsUnderAnyName) {
  File("one/x.safetensors");
  File("two/x.safetensors");
  Load();
  EXPECT_EQ((*catalog_->Find("one"))->generation(), (*catalog_->Find("two"))->generation());
}

}  // namespace
}  // namespace tensorferry
