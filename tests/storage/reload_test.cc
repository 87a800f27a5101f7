// SPDX-License-Identifier: Apache-2.0
// Catalog::Reload: what it takes over, what it replaces, and what it keeps although it is gone.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tensorferry/storage/catalog.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry {
namespace {

using test::FileOfTensors;
using test::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;

using CatalogPtr = std::shared_ptr<const Catalog>;
using ModelPtr = std::shared_ptr<const Model>;

const char kIndex[] = R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})";

class ReloadTest : public ::testing::Test {
 protected:
  // Scans again; the first time it is the first scan.
  void Reload() {
    absl::StatusOr<CatalogPtr> catalog = Catalog::Reload(root_.path(), catalog_);
    ASSERT_TRUE(catalog.ok()) << catalog.status();
    catalog_ = *std::move(catalog);
  }
  // Whether scanning again gives the very same catalog.
  bool NothingChanged() {
    const CatalogPtr before = catalog_;
    Reload();
    return catalog_ == before;
  }

  std::string Write(std::string_view name, const std::vector<std::string>& tensors = {"a"}, int fill = 0) {
    return root_.Write(name, FileOfTensors(tensors, fill));
  }
  void Rename(std::string_view from, std::string_view to) {
    ASSERT_EQ(std::rename(root_.Path(from).c_str(), root_.Path(to).c_str()), 0) << from << " " << to;
  }
  void Remove(std::string_view name) { std::filesystem::remove_all(root_.Path(name)); }
  // Puts other contents under the name as it should be done: beside it, then renamed.
  void Replace(std::string_view name, std::string_view bytes) {
    root_.Write(".new", bytes);
    Rename(".new", name);
  }
  void SwapLink(std::string_view name, std::string_view target) {
    root_.MakeLink(".new", target);
    Rename(".new", name);
  }

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& [name, entry] : catalog_->entries()) names.push_back(name + (entry.model.ok() ? "" : "!"));
    return names;
  }
  ModelPtr Find(std::string_view name) const {
    const auto model = catalog_->Find(name);
    return model.ok() ? *model : nullptr;
  }
  // Why what is there is not served, whether something else is or not.
  std::string ReasonOf(std::string_view name) const {
    const auto entry = catalog_->entries().find(name);
    if (entry == catalog_->entries().end()) return "no such entry";
    return test::MessageOf(entry->second.model.ok() ? entry->second.replacement : entry->second.model.status());
  }
  // The bytes of a tensor as they are served.
  static std::string DataOf(const ModelPtr& model, std::string_view tensor) {
    if (model == nullptr || !model->Find(tensor)) return "none";
    const Model::TensorRef found = model->tensor(*model->Find(tensor));
    return test::AsString(found.file->tensors->data(found.view));
  }
  static std::string DataOfFile(std::string_view bytes) { return std::string(bytes.substr(bytes.size() - 3)); }

  test::TempDir root_;
  CatalogPtr catalog_;
};

TEST_F(ReloadTest, NothingChangedGivesTheSameCatalog) {
  Write("m/x.safetensors");
  root_.Write("m/config.json", "{}");
  root_.Write("bad.safetensors", "broken");
  root_.MakeLink("dangling.safetensors", "none");
  root_.MakeFolder("empty");
  Reload();
  EXPECT_TRUE(NothingChanged());
  EXPECT_TRUE(NothingChanged());
}

TEST_F(ReloadTest, UnchangedFilesAreNotOpenedAgain) {
  Write("m/1.safetensors", {"a"});
  Write("m/2.safetensors", {"b"});
  Write("n.safetensors");
  Reload();
  const ModelPtr m = Find("m");
  const ModelPtr one = Find("m/1.safetensors");
  const ModelPtr n = Find("n.safetensors");
  Replace("m/2.safetensors", FileOfTensors({"b"}, 7));
  Reload();
  EXPECT_EQ(Find("n.safetensors"), n);
  EXPECT_EQ(Find("m/1.safetensors"), one);
  ASSERT_NE(Find("m"), nullptr);
  EXPECT_NE(Find("m"), m);
  EXPECT_EQ(Find("m")->FindFile("1.safetensors")->file, m->FindFile("1.safetensors")->file);
  EXPECT_NE(Find("m")->FindFile("2.safetensors")->file, m->FindFile("2.safetensors")->file);
}

TEST_F(ReloadTest, FileReplacedByRenameIsServedAndTheOldOneStaysWhatItWas) {
  const std::string old_bytes = FileOfTensors({"a"}, 1);
  const std::string new_bytes = FileOfTensors({"a"}, 2);
  root_.Write("m.safetensors", old_bytes);
  Reload();
  const ModelPtr before = Find("m.safetensors");
  Replace("m.safetensors", new_bytes);
  Reload();
  EXPECT_EQ(DataOf(before, "a"), DataOfFile(old_bytes));
  EXPECT_EQ(DataOf(Find("m.safetensors"), "a"), DataOfFile(new_bytes));
  EXPECT_NE(Find("m.safetensors")->generation(), before->generation());
  TF_EXPECT_OK(before->files()[0].file->CheckUnchanged());
}

TEST_F(ReloadTest, NewModelsAppearAndDeletedOnesGoWithTheirDescriptors) {
  Write("old.safetensors");
  Reload();
  const int fd = Find("old.safetensors")->files()[0].file->fd();
  Write("new/x.safetensors");
  Remove("old.safetensors");
  Reload();
  EXPECT_THAT(Names(), ElementsAre("new", "new/x.safetensors"));
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
  Remove("new");
  Reload();
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(ReloadTest, DirectoriesThatAreRenamedTakeTheirOpenFilesAlong) {
  Write("m/1.safetensors", {"a"});
  Write("m/2.safetensors", {"b"});
  Reload();
  const ModelPtr before = Find("m");
  Rename("m", "n");
  Reload();
  EXPECT_THAT(Names(), ElementsAre("n", "n/1.safetensors", "n/2.safetensors"));
  EXPECT_EQ(Find("n")->generation(), before->generation());
  EXPECT_EQ(Find("n")->FindFile("1.safetensors")->file, before->FindFile("1.safetensors")->file);
  EXPECT_TRUE(NothingChanged());
}

TEST_F(ReloadTest, DirectoryThatTakesThePlaceOfAnotherIsServed) {
  Write("m/x.safetensors", {"a"}, 1);
  Write(".m.new/x.safetensors", {"a"}, 2);
  Reload();
  const ModelPtr before = Find("m");
  Rename("m", ".m.old");
  Rename(".m.new", "m");
  Reload();
  EXPECT_NE(Find("m")->generation(), before->generation());
  Rename("m", ".m.new");
  Rename(".m.old", "m");
  Reload();
  EXPECT_EQ(Find("m")->generation(), before->generation());
}

TEST_F(ReloadTest, LinkThatIsSwappedAsKubernetesDoesItIsFollowed) {
  for (const int version : {1, 2}) {
    const std::string folder = "..v" + std::to_string(version);
    Write(folder + "/1.safetensors", {"a"}, version);
    Write(folder + "/2.safetensors", {"b"}, version);
    root_.Write(folder + "/model.safetensors.index.json", kIndex);
  }
  root_.MakeLink("..data", "..v1");
  for (const std::string name : {"1.safetensors", "2.safetensors", "model.safetensors.index.json"}) {
    root_.MakeLink(name, "..data/" + name);
  }
  Reload();
  const ModelPtr before = Find(".");
  ASSERT_NE(before, nullptr);
  EXPECT_THAT(catalog_->directories(), ElementsAre(".", "..v1"));
  SwapLink("..data", "..v2");
  Reload();
  ASSERT_NE(Find("."), nullptr);
  EXPECT_NE(Find(".")->generation(), before->generation());
  EXPECT_EQ(DataOf(Find("."), "a"), DataOfFile(FileOfTensors({"a"}, 2)));
  EXPECT_EQ(DataOf(Find("."), "b"), DataOfFile(FileOfTensors({"b"}, 2)));
  EXPECT_THAT(catalog_->directories(), ElementsAre(".", "..v2"));
  EXPECT_TRUE(NothingChanged());
}

TEST_F(ReloadTest, LinksIntoBlobsAsInTheCacheOfHuggingFaceShareOneMapping) {
  Write("models--x/blobs/01", {"a"}, 1);
  root_.MakeLink("models--x/snapshots/r1/x.safetensors", "../../blobs/01");
  Reload();
  const ModelPtr first = Find("models--x/snapshots/r1");
  // The next revision has that file too, and one more.
  Write("models--x/blobs/02", {"b"}, 2);
  root_.MakeLink("models--x/snapshots/r2/x.safetensors", "../../blobs/01");
  root_.MakeLink("models--x/snapshots/r2/y.safetensors", "../../blobs/02");
  Reload();
  const ModelPtr second = Find("models--x/snapshots/r2");
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->tensor_count(), 2U);
  EXPECT_EQ(second->FindFile("x.safetensors")->file, first->files()[0].file);
  // A link within a snapshot is pointed to another blob.
  SwapLink("models--x/snapshots/r1/x.safetensors", "../../blobs/02");
  Reload();
  EXPECT_EQ(Find("models--x/snapshots/r1")->files()[0].file, second->FindFile("y.safetensors")->file);
  EXPECT_EQ(Find("models--x/snapshots/r2"), second);
  EXPECT_TRUE(NothingChanged());
}

TEST_F(ReloadTest, FileWrittenInPlaceIsLoadedAnew) {
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

TEST_F(ReloadTest, FileTruncatedInPlaceIsNotServedAnyMore) {
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

TEST_F(ReloadTest, BrokenReplacementLeavesTheOldModelAndSaysWhy) {
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

TEST_F(ReloadTest, OldModelThatIsKeptGoesWhenItsNameDoes) {
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

TEST_F(ReloadTest, OldModelThatIsKeptGoesWhenItsFileIsWrittenTo) {
  const std::string path = Write("m.safetensors");
  ASSERT_EQ(::link(path.c_str(), root_.Path(".old").c_str()), 0);
  Reload();
  Replace("m.safetensors", "broken");
  Reload();
  ASSERT_NE(Find("m.safetensors"), nullptr);
  root_.Write(".old", "overwritten");
  Reload();
  EXPECT_EQ(Find("m.safetensors"), nullptr);
  EXPECT_THAT(ReasonOf("m.safetensors"), HasSubstr("header"));
}

TEST_F(ReloadTest, ModelThatNeverWorkedHasNoOldVersion) {
  root_.Write("m.safetensors", "broken");
  Reload();
  Replace("m.safetensors", "broken in another way");
  Reload();
  EXPECT_EQ(Find("m.safetensors"), nullptr);
  Replace("m.safetensors", FileOfTensors({"a"}));
  Reload();
  EXPECT_NE(Find("m.safetensors"), nullptr);
}

TEST_F(ReloadTest, MissingShardLeavesTheOldModelAndItsFilesUnlisted) {
  Write("m/1.safetensors", {"a"});
  Write("m/2.safetensors", {"b"});
  root_.Write("m/model.safetensors.index.json", kIndex);
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

TEST_F(ReloadTest, IndexAndShardsMayBeReplacedOneByOne) {
  Write("m/1.safetensors", {"a"});
  Write("m/2.safetensors", {"b"});
  root_.Write("m/model.safetensors.index.json", kIndex);
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

TEST_F(ReloadTest, CompanionThatIsReplacedIsServed) {
  Write("m/x.safetensors");
  root_.Write("m/config.json", "old");
  Reload();
  const ModelPtr before = Find("m");
  Replace("m/config.json", "new!");
  Reload();
  EXPECT_EQ(Find("m")->FindFile("config.json")->file->size_bytes(), 4);
  EXPECT_EQ(Find("m")->generation(), before->generation());
  EXPECT_EQ(Find("m")->FindFile("x.safetensors")->file, before->FindFile("x.safetensors")->file);
}

TEST_F(ReloadTest, RootThatCannotBeScannedIsAnError) {
  Write("m.safetensors");
  Reload();
  const std::string moved = root_.path() + ".moved";
  ASSERT_EQ(std::rename(root_.path().c_str(), moved.c_str()), 0);
  EXPECT_THAT(Catalog::Reload(root_.path(), catalog_), StatusIs(absl::StatusCode::kNotFound, HasSubstr(root_.path())));
  ASSERT_EQ(std::rename(moved.c_str(), root_.path().c_str()), 0);
  EXPECT_TRUE(NothingChanged());
}

TEST_F(ReloadTest, RootThatIsALinkIsFollowedWhenItIsSwapped) {
  Write("v1/m.safetensors", {"a"}, 1);
  Write("v2/m.safetensors", {"a"}, 2);
  const std::string link = root_.MakeLink("current", "v1");
  TF_ASSERT_OK_AND_ASSIGN(const CatalogPtr before, Catalog::Load(link));
  SwapLink("current", "v2");
  TF_ASSERT_OK_AND_ASSIGN(const CatalogPtr after, Catalog::Reload(link, before));
  EXPECT_NE((*after->Find("m.safetensors"))->generation(), (*before->Find("m.safetensors"))->generation());
}

TEST_F(ReloadTest, DirectoryThatCannotBeEnteredKeepsItsModels) {
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

TEST_F(ReloadTest, FileThatCouldNotBeReadIsTriedAgain) {
  root_.MakeFifo("m.safetensors");
  Reload();
  EXPECT_THAT(Names(), ElementsAre(".!", "m.safetensors!"));
  EXPECT_TRUE(NothingChanged());
  Remove("m.safetensors");
  Write("m.safetensors");
  Reload();
  EXPECT_THAT(Names(), ElementsAre(".", "m.safetensors"));
}

// The folder that a link leads to changes again and again: no scan takes one shard from here and one from there.
TEST_F(ReloadTest, LinkThatIsSwappedDuringScansGivesNoMixture) {
  constexpr int kSwaps = 3000;
  for (const int version : {1, 2}) {
    const std::string folder = ".v" + std::to_string(version);
    for (int i = 0; i < 8; ++i) Write(folder + "/" + std::to_string(i) + ".safetensors", {std::to_string(i)}, version);
  }
  root_.MakeLink("m", ".v1");
  std::atomic<bool> done = false;
  std::thread swapper([&] {
    for (int i = 0; i < kSwaps; ++i) SwapLink("m", i % 2 == 0 ? ".v2" : ".v1");
    done = true;
  });
  int scans = 0;
  int versions_seen = 0;
  std::string last;
  while (!done) {
    Reload();
    ++scans;
    const ModelPtr model = Find("m");
    if (model == nullptr) continue;
    const std::string first = DataOf(model, "0");
    for (int i = 1; i < 8; ++i) ASSERT_EQ(DataOf(model, std::to_string(i)), first) << "scan " << scans;
    versions_seen += first != last;
    last = first;
  }
  swapper.join();
  std::printf("%d scans, %d changes of version\n", scans, versions_seen);
  Reload();
  EXPECT_EQ(DataOf(Find("m"), "0"), DataOfFile(FileOfTensors({"0"}, 1)));
}

TEST_F(ReloadTest, ScanOfAThousandUnchangedFilesTakesMilliseconds) {
  constexpr int kFiles = 1000;
  constexpr int kRounds = 20;
  // In one directory, where they are one bad model too, because all have the same tensors.
  for (int i = 0; i < kFiles; ++i) Write("m" + std::to_string(i) + ".safetensors", {"a", "b", "c"}, i);
  Reload();
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < kRounds; ++i) ASSERT_TRUE(NothingChanged());
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
  std::printf("one scan of %d unchanged files: %.2f ms\n", kFiles, took.count() / kRounds);
  RecordProperty("milliseconds", std::to_string(took.count() / kRounds));
  // Generous: other programs, and sanitizers, run beside it.
  EXPECT_LT(took.count() / kRounds, 500);
}

TEST_F(ReloadTest, DirectoriesToWatchAreTold) {
  Write("org/m/x.safetensors");
  root_.MakeFolder("empty");
  Write(".hidden/store/y.safetensors");
  root_.MakeLink("link/y.safetensors", "../.hidden/store/y.safetensors");
  Reload();
  EXPECT_THAT(catalog_->directories(),
              IsSupersetOf({std::string("."), std::string("empty"), std::string("org"), std::string("org/m"),
                            std::string("link"), std::string(".hidden/store")}));
}

}  // namespace
}  // namespace tensorferry
