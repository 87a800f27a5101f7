// SPDX-License-Identifier: Apache-2.0
// Model::instance: equal for models of the same open files, and for no others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "lib/catalog/catalog.h"
#include "tests/lib/catalog/reload_fixture.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry {
namespace {

using test::CatalogPtr;
using test::FileOfTensors;
using test::ModelPtr;
using ::testing::IsEmpty;
using ::testing::Not;

class InstanceTest : public test::ReloadFixture {
 protected:
  std::string InstanceOf(std::string_view name) const {
    const ModelPtr model = Find(name);
    return model == nullptr ? "none" : model->instance();
  }
};

TEST_F(InstanceTest, EachOpeningOfAModelHasAnother) {
  Write("m/1.safetensors", {"a"});
  Write("m/2.safetensors", {"b"});
  TF_ASSERT_OK_AND_ASSIGN(const ModelPtr first, Model::Open(root_.Path("m")));
  TF_ASSERT_OK_AND_ASSIGN(const ModelPtr second, Model::Open(root_.Path("m")));
  EXPECT_THAT(first->instance(), Not(IsEmpty()));
  EXPECT_EQ(first->generation(), second->generation());
  EXPECT_NE(first->instance(), second->instance());
}

TEST_F(InstanceTest, ModelsOfTheSameOpenFilesHaveTheSame) {
  Write("m/1.safetensors", {"a"});
  Write("m/2.safetensors", {"b"});
  Write("one/x.safetensors");
  root_.MakeLink("link", "m");
  root_.MakeLink("other/name.safetensors", "../one/x.safetensors");
  Reload();
  EXPECT_EQ(InstanceOf("link"), InstanceOf("m"));
  EXPECT_EQ(InstanceOf("one"), InstanceOf("one/x.safetensors"));
  EXPECT_EQ(InstanceOf("other"), InstanceOf("one")) << "names do not count";
  EXPECT_NE(InstanceOf("m"), InstanceOf("m/1.safetensors"));
  EXPECT_NE(InstanceOf("m/1.safetensors"), InstanceOf("m/2.safetensors"));
}

TEST_F(InstanceTest, StaysWhenFilesAreRenamed) {
  Write("m/1.safetensors", {"a"});
  Write("m/2.safetensors", {"b"});
  Reload();
  const std::string before = InstanceOf("m");
  Rename("m", "n");
  Rename("n/1.safetensors", "n/3.safetensors");
  Reload();
  EXPECT_EQ(InstanceOf("n"), before);
}

TEST_F(InstanceTest, CompanionsTakeNoPart) {
  Write("m/x.safetensors");
  root_.Write("m/config.json", "old");
  Reload();
  const ModelPtr before = Find("m");
  Replace("m/config.json", "new");
  Reload();
  EXPECT_NE(Find("m"), before);
  EXPECT_EQ(InstanceOf("m"), before->instance());
  EXPECT_NE(Find("m")->tree_digest(), before->tree_digest());
  EXPECT_EQ(Find("m")->generation(), before->generation());
}

TEST_F(InstanceTest, IndexThatIsReplacedByAnEqualOneMakesAnother) {
  Write("m/1.safetensors", {"a"});
  Write("m/2.safetensors", {"b"});
  root_.Write("m/model.safetensors.index.json", test::kTwoShards);
  Reload();
  const ModelPtr before = Find("m");
  Replace("m/model.safetensors.index.json", test::kTwoShards);
  Reload();
  EXPECT_EQ(Find("m")->generation(), before->generation());
  EXPECT_NE(InstanceOf("m"), before->instance());
}

// The generation is the same, and still the new model must be published: the files of the old one may be deleted.
TEST_F(InstanceTest, FileThatIsReplacedByAnEqualOneIsPublished) {
  Write("m/x.safetensors");
  Reload();
  const CatalogPtr old_catalog = catalog_;
  const ModelPtr before = Find("m");
  Replace("m/x.safetensors", FileOfTensors({"a"}));
  Reload();
  EXPECT_NE(catalog_, old_catalog);
  EXPECT_NE(Find("m"), before);
  EXPECT_EQ(Find("m")->generation(), before->generation());
  EXPECT_NE(InstanceOf("m"), before->instance());
  EXPECT_NE(InstanceOf("m/x.safetensors"), before->instance());
  EXPECT_EQ(InstanceOf("m/x.safetensors"), InstanceOf("m"));
  EXPECT_TRUE(NothingChanged());
}

}  // namespace
}  // namespace tensorferry
