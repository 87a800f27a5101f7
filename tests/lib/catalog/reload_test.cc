// SPDX-License-Identifier: Apache-2.0
// Catalog::Reload: what it takes over and what it replaces.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <thread>

#include "lib/catalog/catalog.h"
#include "lib/files/mapped_file.h"
#include "lib/files/sigbus.h"
#include "tests/lib/catalog/reload_fixture.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry {
namespace {

using test::CatalogPtr;
using test::FileOfTensors;
using test::ModelPtr;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;

using ReloadTest = test::ReloadFixture;

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

TEST_F(ReloadTest, MappingThatWasDamagedIsReplacedThoughTheFileIsWhatItWas) {
  InstallSigbusHandler();
  const std::string bytes =
      test::SafetensorsBytes(test::HeaderJson({{"a", Dtype::kU8, {100'000}}}), std::string(100'000, 'x'));
  const std::string path = root_.Write("m.safetensors", bytes);
  const auto modified = std::filesystem::last_write_time(path);
  Reload();
  const ModelPtr before = Find("m.safetensors");
  ASSERT_EQ(::truncate(path.c_str(), 5000), 0);
  EXPECT_NE(DataOf(before, "a"), std::string(100'000, 'x'));
  root_.Write("m.safetensors", bytes);
  std::filesystem::last_write_time(path, modified);
  EXPECT_FALSE(NothingChanged());
  const ModelPtr after = Find("m.safetensors");
  EXPECT_EQ(after->generation(), before->generation());
  EXPECT_EQ(DataOf(after, "a"), std::string(100'000, 'x'));
  TF_EXPECT_OK(after->files()[0].file->CheckUnchanged());
  EXPECT_TRUE(NothingChanged());
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
    root_.Write(folder + "/model.safetensors.index.json", test::kTwoShards);
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

TEST_F(ReloadTest, RootThatIsALinkIsFollowedWhenItIsSwapped) {
  Write("v1/m.safetensors", {"a"}, 1);
  Write("v2/m.safetensors", {"a"}, 2);
  const std::string link = root_.MakeLink("current", "v1");
  TF_ASSERT_OK_AND_ASSIGN(const CatalogPtr before, Catalog::Load(link));
  SwapLink("current", "v2");
  TF_ASSERT_OK_AND_ASSIGN(const CatalogPtr after, Catalog::Reload(link, before));
  EXPECT_NE((*after->Find("m.safetensors"))->generation(), (*before->Find("m.safetensors"))->generation());
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
  // Generous, because other programs run at the same time, and sanitizers slow it down.
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
