// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/safetensors/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/files/mapped_file.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry {
namespace {

using test::FileOfTensors;
using test::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

using ModelPtr = std::shared_ptr<const Model>;

std::vector<std::string> TensorsOf(const Model& model) {
  std::vector<std::string> tensors;
  for (std::size_t i = 0; i < model.tensor_count(); ++i) {
    tensors.push_back(std::string(model.tensor(i).view.name) + '@' + model.tensor(i).file->name);
  }
  return tensors;
}

std::vector<std::string> FilesOf(const Model& model) {
  std::vector<std::string> names;
  for (const ModelFile& file : model.files()) names.push_back(file.name);
  return names;
}

class ModelTest : public ::testing::Test {
 protected:
  absl::StatusOr<ModelPtr> Open(std::string_view name = ".") { return Model::Open(dir_.Path(name)); }

  void WriteIndex(const std::map<std::string, std::string>& weight_map) {
    dir_.Write("model.safetensors.index.json", test::IndexJson(weight_map));
  }

  // Expects an error whose message contains both texts.
  void ExpectBad(std::string_view first, std::string_view second) {
    const absl::StatusOr<ModelPtr> model = Open();
    EXPECT_FALSE(model.ok());
    EXPECT_THAT(test::MessageOf(model), AllOf(HasSubstr(std::string(first)), HasSubstr(std::string(second))));
  }

  test::TempDir dir_;
};

TEST_F(ModelTest, OneFileIsAModel) {
  dir_.Write("x.safetensors", FileOfTensors({"b", "a"}));
  dir_.Write("config.json", "{}");
  TF_ASSERT_OK_AND_ASSIGN(const ModelPtr model, Open("x.safetensors"));
  EXPECT_THAT(TensorsOf(*model), ElementsAre("a@x.safetensors", "b@x.safetensors"));
  EXPECT_THAT(FilesOf(*model), ElementsAre("x.safetensors"));
  EXPECT_EQ(model->size_bytes(), 6);
  EXPECT_EQ(model->safetensors_file_count(), 1);
  EXPECT_THAT(model->generation(), Not(IsEmpty()));
}

TEST_F(ModelTest, DirectoryWithoutAnIndexHasAllItsFiles) {
  dir_.Write("2.safetensors", FileOfTensors({"b", "d"}));
  dir_.Write("1.safetensors", FileOfTensors({"c", "a"}));
  dir_.Write("empty.safetensors", FileOfTensors({}));
  TF_ASSERT_OK_AND_ASSIGN(const ModelPtr model, Open());
  EXPECT_THAT(TensorsOf(*model),
              ElementsAre("a@1.safetensors", "b@2.safetensors", "c@1.safetensors", "d@2.safetensors"));
  EXPECT_THAT(FilesOf(*model), ElementsAre("1.safetensors", "2.safetensors", "empty.safetensors"));
  EXPECT_EQ(model->safetensors_file_count(), 3);
  EXPECT_EQ(model->size_bytes(), 12);
}

TEST_F(ModelTest, FilesInSubfoldersAreNotPartOfTheModel) {
  dir_.Write("1.safetensors", FileOfTensors({"a"}));
  dir_.Write("original/1.safetensors", FileOfTensors({"b"}));
  TF_ASSERT_OK_AND_ASSIGN(const ModelPtr model, Open());
  EXPECT_THAT(TensorsOf(*model), ElementsAre("a@1.safetensors"));
}

TEST_F(ModelTest, TensorInTwoFilesIsRefusedNamingBothFiles) {
  dir_.Write("1.safetensors", FileOfTensors({"a", "same"}));
  dir_.Write("2.safetensors", FileOfTensors({"b", "same"}));
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kDataLoss,
                               AllOf(HasSubstr("\"same\""), HasSubstr("1.safetensors"), HasSubstr("2.safetensors"))));
}

TEST_F(ModelTest, InvalidFileMakesTheDirectoryInvalidAndIsNamed) {
  dir_.Write("1.safetensors", FileOfTensors({"a"}));
  dir_.Write("2.safetensors", "broken");
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("2.safetensors")));
  TF_EXPECT_OK(Open("1.safetensors"));
}

TEST_F(ModelTest, DirectoryWithoutTensorsIsNotFound) {
  dir_.Write("config.json", "{}");
  dir_.Write("weights.bin", "x");
  dir_.Write("x.safetensors.bak", FileOfTensors({"a"}));
  EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kNotFound, HasSubstr(dir_.path())));
  EXPECT_THAT(Open("none"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
}

TEST_F(ModelTest, FindAndLowerBoundSearchAllFiles) {
  dir_.Write("1.safetensors", FileOfTensors({"b", "f"}));
  dir_.Write("2.safetensors", FileOfTensors({"d"}));
  TF_ASSERT_OK_AND_ASSIGN(const ModelPtr model, Open());
  EXPECT_THAT(model->Find("b"), Eq(0U));
  EXPECT_THAT(model->Find("d"), Eq(1U));
  EXPECT_THAT(model->Find("f"), Eq(2U));
  for (const std::string_view name : {"", "a", "c", "g", "bb"}) EXPECT_THAT(model->Find(name), Eq(std::nullopt));
  EXPECT_EQ(model->LowerBound(""), 0U);
  EXPECT_EQ(model->LowerBound("b"), 0U);
  EXPECT_EQ(model->LowerBound("c"), 1U);
  EXPECT_EQ(model->LowerBound("e"), 2U);
  EXPECT_EQ(model->LowerBound("g"), 3U);
}

TEST_F(ModelTest, FindFileFindsOnlyFilesOfTheModel) {
  dir_.Write("1.safetensors", FileOfTensors({"a"}));
  dir_.Write("config.json", "{}");
  TF_ASSERT_OK_AND_ASSIGN(const ModelPtr model, Open());
  ASSERT_NE(model->FindFile("config.json"), nullptr);
  EXPECT_EQ(test::AsString(model->FindFile("config.json")->file->bytes()), "{}");
  EXPECT_EQ(model->FindFile("config.json")->tensors, nullptr);
  for (const std::string_view name : {"", ".", "config", "./config.json", "../1.safetensors", "/etc/passwd"}) {
    EXPECT_EQ(model->FindFile(name), nullptr) << name;
  }
}

TEST_F(ModelTest, CompanionsHaveTheListedEndings) {
  dir_.Write("x.safetensors", FileOfTensors({"a"}));
  for (const std::string_view name : {"config.json", "tokenizer.model", "vocab.txt", "chat_template.jinja",
                                      "pytorch_model.bin", "secret.env", "train.py", "x.safetensors.bak", "json",
                                      "config.json.bak", "config.JSON", ".hidden.json", "id_rsa", "a.gguf"}) {
    dir_.Write(name, "x");
  }
  dir_.MakeFolder("folder.json");
  dir_.Write("below/other.json", "x");
  dir_.MakeFifo("fifo.json");
  dir_.MakeSocket("socket.txt");
  TF_ASSERT_OK_AND_ASSIGN(const ModelPtr model, Open());
  EXPECT_THAT(FilesOf(*model),
              ElementsAre("chat_template.jinja", "config.json", "tokenizer.model", "vocab.txt", "x.safetensors"));
  EXPECT_EQ(model->FindFile("config.json")->kind, ModelFile::Kind::kCompanion);
  EXPECT_EQ(model->FindFile("x.safetensors")->kind, ModelFile::Kind::kSafetensors);
}

TEST_F(ModelTest, HiddenFilesAreIgnored) {
  dir_.Write("x.safetensors", FileOfTensors({"a"}));
  dir_.Write(".x.safetensors", FileOfTensors({"b"}));
  dir_.Write("._x.safetensors", "what macOS leaves behind");
  TF_ASSERT_OK_AND_ASSIGN(const ModelPtr model, Open());
  EXPECT_THAT(TensorsOf(*model), ElementsAre("a@x.safetensors"));
}

TEST_F(ModelTest, CompanionThatLeadsOutOfTheDirectoryIsLeftOut) {
  const test::TempDir elsewhere;
  dir_.Write("x.safetensors", FileOfTensors({"a"}));
  dir_.MakeLink("absolute.json", elsewhere.Write("secret.json", "secret"));
  dir_.MakeLink("dangling.json", "none");
  TF_ASSERT_OK_AND_ASSIGN(const ModelPtr model, Open());
  EXPECT_THAT(FilesOf(*model), ElementsAre("x.safetensors"));
}

class IndexedModelTest : public ModelTest {
 protected:
  IndexedModelTest() {
    dir_.Write("1.safetensors", FileOfTensors({"a", "b"}));
    dir_.Write("2.safetensors", FileOfTensors({"c"}));
  }
};

TEST_F(IndexedModelTest, ModelHasExactlyTheTensorsOfTheIndex) {
  WriteIndex({{"a", "1.safetensors"}, {"c", "2.safetensors"}});
  dir_.Write("consolidated.safetensors", FileOfTensors({"a", "b", "c"}));
  TF_ASSERT_OK_AND_ASSIGN(const ModelPtr model, Open());
  EXPECT_THAT(TensorsOf(*model), ElementsAre("a@1.safetensors", "c@2.safetensors"));
  EXPECT_THAT(FilesOf(*model), ElementsAre("1.safetensors", "2.safetensors", "model.safetensors.index.json"));
  EXPECT_EQ(model->size_bytes(), 6) << "the index does not name b";
  EXPECT_EQ(model->safetensors_file_count(), 2);
  EXPECT_EQ(model->FindFile("model.safetensors.index.json")->kind, ModelFile::Kind::kIndex);
  EXPECT_EQ(model->FindFile("consolidated.safetensors"), nullptr);
}

TEST_F(IndexedModelTest, InvalidFileThatTheIndexDoesNotNameIsIgnored) {
  WriteIndex({{"a", "1.safetensors"}});
  dir_.Write("broken.safetensors", "broken");
  TF_ASSERT_OK_AND_ASSIGN(const ModelPtr model, Open());
  EXPECT_THAT(TensorsOf(*model), ElementsAre("a@1.safetensors"));
}

TEST_F(IndexedModelTest, TensorInTwoFilesIsTakenFromTheFileOfTheIndex) {
  dir_.Write("1.safetensors", FileOfTensors({"a", "same"}));
  dir_.Write("2.safetensors", FileOfTensors({"c", "same"}));
  WriteIndex({{"a", "1.safetensors"}, {"same", "2.safetensors"}});
  TF_ASSERT_OK_AND_ASSIGN(const ModelPtr model, Open());
  EXPECT_THAT(TensorsOf(*model), ElementsAre("a@1.safetensors", "same@2.safetensors"));
}

TEST_F(IndexedModelTest, MissingShardIsNamed) {
  WriteIndex({{"a", "1.safetensors"}, {"z", "3.safetensors"}});
  ExpectBad("3.safetensors", "does not exist");
}

TEST_F(IndexedModelTest, InvalidShardIsNamed) {
  dir_.Write("3.safetensors", "broken");
  WriteIndex({{"a", "1.safetensors"}, {"z", "3.safetensors"}});
  ExpectBad("3.safetensors", "too short");
}

TEST_F(IndexedModelTest, TensorThatIsNotInItsShardIsNamedWithTheShard) {
  WriteIndex({{"a", "1.safetensors"}, {"b", "2.safetensors"}});
  ExpectBad("\"b\"", "2.safetensors");
}

TEST_F(IndexedModelTest, ShardElsewhereIsRefused) {
  const test::TempDir elsewhere;
  const std::string absolute = elsewhere.Write("1.safetensors", FileOfTensors({"a"}));
  dir_.Write("below/1.safetensors", FileOfTensors({"a"}));
  for (const std::string& file : {absolute, std::string("../1.safetensors"), std::string("below/1.safetensors"),
                                  std::string("./1.safetensors"), std::string("below/../1.safetensors")}) {
    WriteIndex({{"a", file}});
    ExpectBad("model.safetensors.index.json", "folder");
  }
}

TEST_F(IndexedModelTest, ShardThatIsALinkOutOfTheDirectoryIsRefused) {
  const test::TempDir elsewhere;
  dir_.MakeLink("3.safetensors", elsewhere.Write("3.safetensors", FileOfTensors({"z"})));
  WriteIndex({{"z", "3.safetensors"}});
  ExpectBad("3.safetensors", "out of the root");
}

TEST_F(IndexedModelTest, ShardThatIsASpecialFileIsRefused) {
  dir_.MakeFolder("folder.safetensors");
  WriteIndex({{"z", "folder.safetensors"}});
  ExpectBad("folder.safetensors", "");
  dir_.MakeFifo("fifo.safetensors");
  WriteIndex({{"z", "fifo.safetensors"}});
  ExpectBad("fifo.safetensors", "not a regular file");
}

TEST_F(IndexedModelTest, InvalidIndexIsNamedAndTheFilesAreStillModels) {
  for (const std::string_view json :
       {"", "{}", "[]", R"({"weight_map":{"a":1}})", R"({"weight_map":{"a":"1.safetensors","a":"2.safetensors"}})",
        R"({"weight_map":{"a":"1.safetensors"}}x)", R"({"weight_map":{"a":"config.json"}})"}) {
    dir_.Write("model.safetensors.index.json", json);
    EXPECT_THAT(Open(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("model.safetensors.index.json"))) << json;
  }
  TF_EXPECT_OK(Open("1.safetensors"));
}

TEST_F(IndexedModelTest, TwoIndexesAreRefusedNamingBoth) {
  WriteIndex({{"a", "1.safetensors"}});
  dir_.Write("model.fp16.safetensors.index.json", test::IndexJson({{"a", "1.safetensors"}}));
  ExpectBad("model.safetensors.index.json", "model.fp16.safetensors.index.json");
}

TEST_F(IndexedModelTest, IndexWithoutItsShardsIsAnErrorThatNamesTheShard) {
  const test::TempDir dir;
  dir.Write("model.safetensors.index.json", test::IndexJson({{"a", "1.safetensors"}}));
  EXPECT_THAT(Model::Open(dir.path()), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("1.safetensors")));
}

}  // namespace
}  // namespace tensorferry
