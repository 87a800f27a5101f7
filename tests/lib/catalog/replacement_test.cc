// SPDX-License-Identifier: Apache-2.0
// Files that are replaced by ones of equal sample: the generation stays exactly if the bytes do.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/catalog/catalog.h"
#include "lib/catalog/file_digest.h"
#include "lib/catalog/file_version.h"
#include "lib/checksum/sha256.h"
#include "lib/files/block_cache.h"
#include "tests/lib/catalog/reload_fixture.h"
#include "tests/testing/random.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry {
namespace {

using test::FileOfTensors;
using test::IsOk;
using test::ModelPtr;
using test::StatusIs;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::int64_t kLargeBytes = 100'000;

// A file with one tensor, "a". Those of all variants have the same sample and different bytes.
std::string Bytes(int variant, std::string_view tensor = "a") {
  std::string file = test::ValidFile({{std::string(tensor), Dtype::kU8, {kLargeBytes}}});
  file[file.size() - 20'000] = static_cast<char>(variant);
  return file;
}

std::string Sha256OfBytes(std::string_view bytes) {
  Sha256 digest;
  digest.Add(test::AsBytes(bytes));
  return digest.Finish();
}

// The digest that a fresh server gives a file with these bytes.
std::string SampledDigestOf(std::string_view bytes) {
  const test::TempDir dir;
  const absl::StatusOr<ModelPtr> model = Model::Open(dir.Write("x.safetensors", bytes));
  EXPECT_THAT(model, IsOk());
  return model.ok() ? (*model)->files().front().digest : "";
}

// The digest of a file with these bytes that replaced one of the same sample.
std::string ReplacedDigestOf(std::string_view bytes) {
  return ReplacedDigest(SampledDigestOf(bytes), Sha256OfBytes(bytes));
}

class ReplacementTest : public test::ReloadFixture {
 protected:
  // Writes to the file that is there, as cp does. The time of modification is another one in any case.
  void Overwrite(std::string_view name, std::string_view bytes) { Touch(root_.Write(name, bytes)); }
  void Touch(const std::string& path) {
    const timespec time = {.tv_sec = 1'000'000'000 + ++touches_, .tv_nsec = 1};
    const timespec times[2] = {time, time};
    ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  }
  void Swap(std::string_view a, std::string_view b) {
    ASSERT_EQ(::renameat2(AT_FDCWD, root_.Path(a).c_str(), AT_FDCWD, root_.Path(b).c_str(), RENAME_EXCHANGE), 0);
  }

  // The digest of the only safetensors file of a model.
  std::string DigestOf(std::string_view name) const {
    const ModelPtr model = Find(name);
    if (model == nullptr) return "none";
    const auto& files = model->files();
    const auto file = std::ranges::find(files, ModelFile::Kind::kSafetensors, &ModelFile::kind);
    return file == files.end() ? "none" : file->digest;
  }

  // The one byte of "a" that variants differ in.
  static int VariantOf(const ModelPtr& model, std::string_view tensor = "a") {
    const std::string data = DataOf(model, tensor);
    return data.size() < 20'000 ? -1 : static_cast<unsigned char>(data[data.size() - 20'000]);
  }

 private:
  int touches_ = 0;
};

TEST_F(ReplacementTest, VariantsHaveTheSameSample) {
  EXPECT_THAT(SampledDigestOf(Bytes(0)), StartsWith("sampled-sha256:"));
  EXPECT_EQ(SampledDigestOf(Bytes(0)), SampledDigestOf(Bytes(1)));
  EXPECT_THAT(ReplacedDigestOf(Bytes(1)), StartsWith("sampled+sha256:"));
  EXPECT_NE(ReplacedDigestOf(Bytes(0)), ReplacedDigestOf(Bytes(1)));
}

TEST_F(ReplacementTest, EqualBytesByRenameLeaveTheGeneration) {
  root_.Write("m/x.safetensors", Bytes(0));
  Reload();
  const ModelPtr before = Find("m");
  Replace("m/x.safetensors", Bytes(0));
  Reload();
  EXPECT_EQ(Find("m")->generation(), before->generation());
  EXPECT_EQ(Find("m")->tree_digest(), before->tree_digest());
  EXPECT_EQ(DigestOf("m"), SampledDigestOf(Bytes(0)));
  EXPECT_NE(Find("m")->instance(), before->instance());
  EXPECT_NE(Find("m")->files().front().file, before->files().front().file);
  EXPECT_TRUE(NothingChanged());
}

TEST_F(ReplacementTest, DifferentBytesByRenameChangeTheGeneration) {
  root_.Write("m/x.safetensors", Bytes(0));
  Reload();
  const ModelPtr before = Find("m");
  Replace("m/x.safetensors", Bytes(1));
  Reload();
  EXPECT_NE(Find("m")->generation(), before->generation());
  EXPECT_NE(Find("m")->tree_digest(), before->tree_digest());
  EXPECT_EQ(DigestOf("m"), ReplacedDigestOf(Bytes(1)));
  EXPECT_EQ(DigestOf("m/x.safetensors"), DigestOf("m"));
  EXPECT_NE(Find("m")->instance(), before->instance());
  EXPECT_EQ(VariantOf(Find("m")), 1);
  EXPECT_TRUE(NothingChanged());
}

TEST_F(ReplacementTest, EveryFurtherReplacementIsCompared) {
  root_.Write("m.safetensors", Bytes(0));
  Reload();
  const std::string first = DigestOf("m.safetensors");
  for (const int variant : {1, 0, 1, 1, 2, 0, 0}) {
    Replace("m.safetensors", Bytes(variant));
    Reload();
    EXPECT_EQ(DigestOf("m.safetensors"), ReplacedDigestOf(Bytes(variant)));
    EXPECT_NE(DigestOf("m.safetensors"), first) << "variant 0 too: nobody knows the bytes that the first one had";
    EXPECT_TRUE(NothingChanged());
  }
}

// The bytes that were there are gone: nobody can compare.
TEST_F(ReplacementTest, FileWrittenInPlaceHasItsSha256InItsDigest) {
  root_.Write("m.safetensors", Bytes(0));
  Reload();
  for (const int variant : {1, 1, 0}) {
    Overwrite("m.safetensors", Bytes(variant));
    Reload();
    EXPECT_EQ(DigestOf("m.safetensors"), ReplacedDigestOf(Bytes(variant)));
    EXPECT_EQ(VariantOf(Find("m.safetensors")), variant);
    EXPECT_TRUE(NothingChanged());
  }
}

TEST_F(ReplacementTest, FileThatIsTouchedHasItsSha256InItsDigest) {
  const std::string path = root_.Write("m.safetensors", Bytes(0));
  Reload();
  const ModelPtr before = Find("m.safetensors");
  for (int i = 0; i < 2; ++i) {
    Touch(path);
    Reload();
    EXPECT_EQ(DigestOf("m.safetensors"), ReplacedDigestOf(Bytes(0)));
  }
  EXPECT_NE(Find("m.safetensors")->instance(), before->instance());
}

// Block checksums are no evidence: these were taken after the file was written to.
TEST_F(ReplacementTest, BlockChecksumsThatWereTakenTooLateAreNotTrusted) {
  const std::string header = test::HeaderJson({{"a", Dtype::kU8, {(2 << 20) - 100}}});
  std::string bytes = test::SafetensorsBytes(header + std::string(92 - header.size(), ' '));
  bytes.resize(2 << 20);
  root_.Write("m.safetensors", bytes);
  Reload();
  const ModelPtr before = Find("m.safetensors");
  ASSERT_NE(before, nullptr);
  bytes[1'500'000] = 'x';
  Overwrite("m.safetensors", bytes);
  for (const std::int64_t block : {0, 1}) before->files().front().file->blocks().Checksum(block);
  Reload();
  EXPECT_EQ(DigestOf("m.safetensors"), ReplacedDigestOf(bytes));
}

TEST_F(ReplacementTest, OldFileThatWasWrittenToUnderAnotherNameIsNoEvidence) {
  const std::string path = root_.Write("m.safetensors", Bytes(0));
  ASSERT_EQ(::link(path.c_str(), root_.Path(".old").c_str()), 0);
  Reload();
  Replace("m.safetensors", Bytes(1));
  Overwrite(".old", Bytes(1));
  Reload();
  EXPECT_EQ(DigestOf("m.safetensors"), ReplacedDigestOf(Bytes(1)));
}

TEST_F(ReplacementTest, FileOfAnotherSampleHasItsPlainDigest) {
  root_.Write("m.safetensors", Bytes(0));
  Reload();
  Replace("m.safetensors", FileOfTensors({"a"}));
  Reload();
  EXPECT_EQ(DigestOf("m.safetensors"), SampledDigestOf(FileOfTensors({"a"})));
  Replace("m.safetensors", Bytes(0));
  Reload();
  EXPECT_EQ(DigestOf("m.safetensors"), SampledDigestOf(Bytes(0))) << "as on servers that never had another";
}

// A stream may resume whenever its version is as old as it wants.
TEST_F(ReplacementTest, VersionThatIsOpenIsComparedHoweverOldItIs) {
  root_.Write("m.safetensors", Bytes(0));
  Reload();
  ModelPtr stream = Find("m.safetensors");
  const auto come_back_as = [&](int variant) {
    Replace("m.safetensors", FileOfTensors({"a"}));
    Reload();
    Replace("m.safetensors", Bytes(variant));
    Reload();
    return DigestOf("m.safetensors");
  };
  EXPECT_EQ(come_back_as(1), ReplacedDigestOf(Bytes(1)));
  EXPECT_EQ(come_back_as(2), ReplacedDigestOf(Bytes(2))) << "version 1 is closed, but the stream has version 0";
  EXPECT_EQ(come_back_as(0), SampledDigestOf(Bytes(0))) << "this is what the stream has";
  stream = nullptr;
  EXPECT_EQ(come_back_as(1), SampledDigestOf(Bytes(1))) << "nobody has another";
}

TEST_F(ReplacementTest, SwappedFilesAreReplacedBoth) {
  root_.Write("m/1.safetensors", Bytes(1));
  root_.Write("m/2.safetensors", Bytes(2));
  Reload();
  EXPECT_EQ(DigestOf("m/1.safetensors"), DigestOf("m/2.safetensors"));
  const ModelPtr one = Find("m/1.safetensors");
  Swap("m/1.safetensors", "m/2.safetensors");
  Reload();
  EXPECT_EQ(DigestOf("m/1.safetensors"), ReplacedDigestOf(Bytes(2)));
  EXPECT_EQ(DigestOf("m/2.safetensors"), ReplacedDigestOf(Bytes(1)));
  EXPECT_EQ(Find("m/2.safetensors")->files().front().file, one->files().front().file) << "it was opened again";
  EXPECT_TRUE(NothingChanged());
  Swap("m/1.safetensors", "m/2.safetensors");
  Reload();
  EXPECT_EQ(DigestOf("m/1.safetensors"), ReplacedDigestOf(Bytes(1)));
  EXPECT_EQ(DigestOf("m/2.safetensors"), ReplacedDigestOf(Bytes(2)));
}

TEST_F(ReplacementTest, SwappedFilesOfEqualBytesStayWhatTheyAre) {
  root_.Write("m/1.safetensors", Bytes(1));
  root_.Write("m/2.safetensors", Bytes(1));
  Reload();
  Swap("m/1.safetensors", "m/2.safetensors");
  Reload();
  EXPECT_EQ(DigestOf("m/1.safetensors"), SampledDigestOf(Bytes(1)));
  EXPECT_EQ(DigestOf("m/2.safetensors"), SampledDigestOf(Bytes(1)));
}

TEST_F(ReplacementTest, FileThatMovesToANameThatIsOpenIsCompared) {
  root_.Write("a.safetensors", Bytes(1));
  root_.Write("b.safetensors", Bytes(2));
  Reload();
  Rename("b.safetensors", "a.safetensors");
  Reload();
  EXPECT_EQ(DigestOf("a.safetensors"), ReplacedDigestOf(Bytes(2)));
  EXPECT_EQ(Find("b.safetensors"), nullptr);
}

TEST_F(ReplacementTest, NewNameOfAFileHasThePlainDigest) {
  root_.Write("m/x.safetensors", Bytes(0));
  Reload();
  Replace("m/x.safetensors", Bytes(1));
  Reload();
  ASSERT_EQ(DigestOf("m"), ReplacedDigestOf(Bytes(1)));
  ASSERT_EQ(::link(root_.Path("m/x.safetensors").c_str(), root_.Path("linked.safetensors").c_str()), 0);
  Reload();
  EXPECT_EQ(DigestOf("linked.safetensors"), SampledDigestOf(Bytes(1)));
  EXPECT_EQ(DigestOf("m"), ReplacedDigestOf(Bytes(1)));
  EXPECT_EQ(Find("linked.safetensors")->instance(), Find("m")->instance());
}

TEST_F(ReplacementTest, LinkThatIsSwappedAsKubernetesDoesItIsCompared) {
  for (const int version : {1, 2, 3}) {
    root_.Write("..v" + std::to_string(version) + "/m.safetensors", Bytes(version / 2));
  }
  root_.MakeLink("..data", "..v1");
  root_.MakeLink("m.safetensors", "..data/m.safetensors");
  Reload();
  EXPECT_EQ(DigestOf("m.safetensors"), SampledDigestOf(Bytes(0)));
  SwapLink("..data", "..v2");
  Reload();
  EXPECT_EQ(DigestOf("m.safetensors"), ReplacedDigestOf(Bytes(1)));
  const std::string instance = Find("m.safetensors")->instance();
  SwapLink("..data", "..v3");
  Reload();
  EXPECT_EQ(DigestOf("m.safetensors"), ReplacedDigestOf(Bytes(1))) << "equal bytes";
  EXPECT_NE(Find("m.safetensors")->instance(), instance);
  SwapLink("..data", "..v1");
  Reload();
  EXPECT_EQ(DigestOf("m.safetensors"), ReplacedDigestOf(Bytes(0)));
}

TEST_F(ReplacementTest, LinkToADirectoryThatIsOpenIsCompared) {
  root_.Write("v1/x.safetensors", Bytes(1));
  root_.Write("v2/x.safetensors", Bytes(2));
  root_.MakeLink("current", "v1");
  Reload();
  EXPECT_EQ(Find("current")->generation(), Find("v2")->generation());
  const std::string before = Find("current")->generation();
  SwapLink("current", "v2");
  Reload();
  EXPECT_NE(Find("current")->generation(), before);
  EXPECT_EQ(DigestOf("current"), ReplacedDigestOf(Bytes(2)));
  EXPECT_EQ(DigestOf("v2"), SampledDigestOf(Bytes(2)));
  EXPECT_EQ(Find("current")->instance(), Find("v2")->instance());
}

TEST_F(ReplacementTest, DirectoryThatTakesThePlaceOfAnotherIsCompared) {
  root_.Write("m/x.safetensors", Bytes(1));
  root_.Write(".other/x.safetensors", Bytes(2));
  Reload();
  Swap("m", ".other");
  Reload();
  EXPECT_EQ(DigestOf("m"), ReplacedDigestOf(Bytes(2)));
}

TEST_F(ReplacementTest, RootThatIsALinkIsCompared) {
  root_.Write("v1/m.safetensors", Bytes(1));
  root_.Write("v2/m.safetensors", Bytes(2));
  const std::string link = root_.MakeLink("current", "v1");
  TF_ASSERT_OK_AND_ASSIGN(catalog_, Catalog::Load(link));
  SwapLink("current", "v2");
  TF_ASSERT_OK_AND_ASSIGN(catalog_, Catalog::Reload(link, catalog_));
  EXPECT_EQ(DigestOf("m.safetensors"), ReplacedDigestOf(Bytes(2)));
}

TEST_F(ReplacementTest, BrokenFileInBetweenByRenameIsNoWayAround) {
  root_.Write("m.safetensors", Bytes(0));
  Reload();
  for (const auto& [variant, digest] :
       {std::pair(0, SampledDigestOf(Bytes(0))), std::pair(1, ReplacedDigestOf(Bytes(1)))}) {
    for (const std::string_view broken : {"broken", "", "broken again"}) {
      Replace("m.safetensors", broken);
      Reload();
      EXPECT_EQ(ReasonOf("m.safetensors").empty(), false);
    }
    Replace("m.safetensors", Bytes(variant));
    Reload();
    EXPECT_EQ(ReasonOf("m.safetensors"), "");
    EXPECT_EQ(DigestOf("m.safetensors"), digest);
  }
}

TEST_F(ReplacementTest, BrokenFileInBetweenInPlaceIsNoWayAround) {
  root_.Write("m.safetensors", Bytes(0));
  Reload();
  for (const std::size_t size : {std::size_t{0}, std::size_t{30}, std::size_t{50'000}}) {
    Overwrite("m.safetensors", Bytes(1).substr(0, size));
    Reload();
    ASSERT_EQ(Find("m.safetensors"), nullptr);
  }
  Overwrite("m.safetensors", Bytes(1));
  Reload();
  EXPECT_EQ(DigestOf("m.safetensors"), ReplacedDigestOf(Bytes(1)));
}

TEST_F(ReplacementTest, LinkThatLedNowhereInBetweenIsNoWayAround) {
  root_.Write(".v/0", Bytes(0));
  root_.Write(".v/1", Bytes(1));
  root_.MakeLink("m.safetensors", ".v/0");
  Reload();
  SwapLink("m.safetensors", ".v/none");
  Reload();
  SwapLink("m.safetensors", ".v/1");
  Reload();
  EXPECT_EQ(DigestOf("m.safetensors"), ReplacedDigestOf(Bytes(1)));
}

// A model whose shard is gone is served until the shard is back: the old one and the new one must not look alike.
TEST_F(ReplacementTest, ShardThatIsRemovedAndComesBackIsCompared) {
  for (const int variant : {0, 1}) {
    catalog_ = nullptr;
    Remove("m");
    root_.Write("m/1.safetensors", Bytes(0, "a"));
    root_.Write("m/2.safetensors", Bytes(0, "b"));
    root_.Write("m/model.safetensors.index.json", test::kTwoShards);
    Reload();
    const std::string before = Find("m")->generation();
    Remove("m/2.safetensors");
    for (int scan = 0; scan < 3; ++scan) Reload();
    ASSERT_EQ(Find("m")->generation(), before);
    root_.Write("m/3.safetensors", Bytes(0, "c"));
    Reload();
    root_.Write("m/2.safetensors", Bytes(variant, "b"));
    Reload();
    ASSERT_EQ(ReasonOf("m"), "");
    EXPECT_EQ(VariantOf(Find("m"), "b"), variant);
    EXPECT_EQ(Find("m")->generation() == before, variant == 0);
  }
}

TEST_F(ReplacementTest, ShardsOfASampleThatNeverFittedAreNoWayAround) {
  root_.Write("m/1.safetensors", Bytes(0, "a"));
  root_.Write("m/2.safetensors", Bytes(0, "b"));
  root_.Write("m/model.safetensors.index.json", test::kTwoShards);
  Reload();
  const ModelPtr before = Find("m");
  Replace("m/2.safetensors", FileOfTensors({"another"}));
  Reload();
  ASSERT_EQ(Find("m"), before);
  Replace("m/2.safetensors", Bytes(1, "b"));
  Reload();
  ASSERT_EQ(VariantOf(Find("m"), "b"), 1);
  EXPECT_NE(Find("m")->generation(), before->generation());
}

TEST_F(ReplacementTest, NameThatNobodyHasOpenBeginsAgain) {
  for (const bool open : {false, true}) {
    catalog_ = nullptr;
    root_.Write("m.safetensors", Bytes(0));
    root_.Write("n.safetensors", Bytes(0, "n"));
    Reload();
    const ModelPtr stream = open ? Find("m.safetensors") : nullptr;
    Remove("m.safetensors");
    Reload();
    root_.Write("m.safetensors", Bytes(1));
    Reload();
    EXPECT_EQ(DigestOf("m.safetensors"), open ? ReplacedDigestOf(Bytes(1)) : SampledDigestOf(Bytes(1)));
  }
}

TEST_F(ReplacementTest, FileThatMovesAwayAndBackStaysWhatItIs) {
  root_.Write("m/x.safetensors", Bytes(0));
  root_.Write("m/y.safetensors", Bytes(0, "y"));
  Reload();
  const ModelPtr before = Find("m/x.safetensors");
  Rename("m/x.safetensors", "m/z.safetensors");
  Reload();
  Rename("m/z.safetensors", "m/x.safetensors");
  Reload();
  EXPECT_EQ(DigestOf("m/x.safetensors"), SampledDigestOf(Bytes(0)));
  EXPECT_EQ(Find("m/x.safetensors")->instance(), before->instance());
}

TEST_F(ReplacementTest, FullVerificationGivesTheSameDigests) {
  options_.verify = Verify::kFull;
  const std::string path = root_.Write("m.safetensors", Bytes(0));
  root_.Write("m.safetensors.sha256", Sha256OfBytes(Bytes(0)));
  Reload();
  EXPECT_EQ(DigestOf("m.safetensors"), SampledDigestOf(Bytes(0)));
  Replace("m.safetensors", Bytes(0));
  Reload();
  EXPECT_EQ(DigestOf("m.safetensors"), SampledDigestOf(Bytes(0)));
  Replace("m.safetensors", Bytes(1));
  Reload();
  EXPECT_THAT(ReasonOf("m.safetensors"), HasSubstr("should be"));
  EXPECT_EQ(VariantOf(Find("m.safetensors")), 0);
  root_.Write("m.safetensors.sha256", Sha256OfBytes(Bytes(1)));
  Reload();
  EXPECT_EQ(DigestOf("m.safetensors"), ReplacedDigestOf(Bytes(1)));
  Touch(path);
  Reload();
  EXPECT_EQ(DigestOf("m.safetensors"), ReplacedDigestOf(Bytes(1)));
}

TEST_F(ReplacementTest, LastByteOfSeveralBlocksIsCompared) {
  std::string bytes = test::ValidFile({{"a", Dtype::kU8, {(3 << 20) + 5000}}});
  root_.Write("m.safetensors", bytes);
  Reload();
  Replace("m.safetensors", bytes);
  Reload();
  EXPECT_EQ(DigestOf("m.safetensors"), SampledDigestOf(bytes));
  // Just before the last sample, in the last piece that is compared.
  bytes[bytes.size() - 257] ^= 1;
  Replace("m.safetensors", bytes);
  Reload();
  EXPECT_EQ(DigestOf("m.safetensors"), ReplacedDigestOf(bytes));
}

TEST_F(ReplacementTest, ManyShardsAtOnceAreComparedEachWithItsOwn) {
  constexpr int kShards = 40;
  test::Random random;
  const auto name = [](int i) { return std::to_string(i) + ".safetensors"; };
  for (int i = 0; i < kShards; ++i) root_.Write(name(i), Bytes(i, std::to_string(i)));
  Reload();
  std::map<int, bool> changed;
  for (int i = 0; i < kShards; ++i) {
    changed[i] = random.OneIn(2);
    Replace(name(i), Bytes(changed[i] ? i + 100 : i, std::to_string(i)));
  }
  Reload();
  for (int i = 0; i < kShards; ++i) {
    const std::string bytes = Bytes(changed[i] ? i + 100 : i, std::to_string(i));
    EXPECT_EQ(DigestOf(name(i)), changed[i] ? ReplacedDigestOf(bytes) : SampledDigestOf(bytes)) << i;
  }
}

// Two files of random tensors that differ in some bytes of which none is sampled.
std::pair<std::string, std::string> RandomVariants(test::Random& random) {
  std::vector<test::TensorSpec> tensors;
  for (std::int64_t i = random.Between(1, 6); i > 0; --i) {
    tensors.push_back({"t" + std::to_string(i), Dtype::kU8, {random.OneOf({0, 1, 1024, 1025, 5000, 300'000})}});
  }
  tensors.push_back({"large", Dtype::kU8, {random.Between(1100, 2'000'000)}});
  const std::string bytes = test::ValidFile(tensors, "", static_cast<int>(random.Below(256)));
  while (true) {
    std::string other = bytes;
    for (std::int64_t i = random.Between(1, 3); i > 0; --i) {
      const std::size_t at = random.Below(other.size());
      other[at] = static_cast<char>(other[at] + random.Between(1, 255));
    }
    const test::TempDir dir;
    const absl::StatusOr<ModelPtr> one = Model::Open(dir.Write("x.safetensors", bytes));
    const absl::StatusOr<ModelPtr> two = Model::Open(dir.Write("x.safetensors", other));
    if (two.ok() && (*two)->generation() == (*one)->generation() && other != bytes) return {bytes, std::move(other)};
  }
}

TEST_F(ReplacementTest, HundredRandomVariantsNeverShareAGeneration) {
  test::Random random;
  for (int i = 0; i < 100; ++i) {
    const auto [bytes, other] = RandomVariants(random);
    catalog_ = nullptr;
    Remove("m");
    root_.Write("m/x.safetensors", bytes);
    Reload();
    const ModelPtr before = Find("m");
    Replace("m/x.safetensors", bytes);
    Reload();
    ASSERT_EQ(Find("m")->generation(), before->generation()) << i;
    ASSERT_NE(Find("m")->instance(), before->instance()) << i;
    const std::string instance = Find("m")->instance();
    const bool in_place = random.OneIn(2);
    in_place ? Overwrite("m/x.safetensors", other) : Replace("m/x.safetensors", other);
    Reload();
    ASSERT_NE(Find("m")->generation(), before->generation()) << i << (in_place ? " in place" : " by rename");
    ASSERT_NE(Find("m")->instance(), instance) << i;
    ASSERT_EQ(DigestOf("m"), ReplacedDigestOf(other)) << i;
    ASSERT_TRUE(NothingChanged()) << i;
  }
}

// Whatever happens to the two names of a directory, every generation of each has one content for ever. If their names
// go, or get files of other samples, that is so as long as the versions are open.
class RandomReplacementTest : public ReplacementTest, public ::testing::WithParamInterface<bool> {
 protected:
  bool EverythingHappens() const { return GetParam(); }

  void Change(test::Random& random) {
    const std::string& name = random.ElementOf(names_);
    const int variant = static_cast<int>(random.Between(0, 2));
    switch (random.Between(0, EverythingHappens() ? 9 : 7)) {
      case 0:
        return Replace(name, Bytes(variant));
      case 1:
        return Overwrite(name, Bytes(variant));
      case 2:
        Remove(name);
        return Overwrite(name, Bytes(variant));
      case 3:
        return Replace(name, "broken");
      case 4:
        return Overwrite(name, Bytes(variant).substr(0, 50'000));
      case 5:
        return SwapLink(name, "../.v/" + std::to_string(variant));
      case 6:
        return SwapLink(name, "none");
      case 7:
        if (std::filesystem::exists(root_.Path(names_[0])) && std::filesystem::exists(root_.Path(names_[1]))) {
          Swap(names_[0], names_[1]);
        }
        return;
      case 8:
        return Remove(name);
      default:
        return Replace(name, FileOfTensors({"a"}, variant));
    }
  }

  const std::vector<std::string> names_ = {"m/1.safetensors", "m/2.safetensors"};
};

TEST_P(RandomReplacementTest, NoGenerationEverHasTwoContents) {
  test::Random random;
  std::map<std::pair<std::string, std::string>, int> variants;  // by name and generation
  std::vector<ModelPtr> streams;
  for (const std::string& name : names_) root_.Write(name, Bytes(0));
  // The links lead to these; through them, they are written to as well.
  for (const int variant : {0, 1, 2}) root_.Write(".v/" + std::to_string(variant), Bytes(variant));
  int published = 0;
  for (int step = 0; step < 300; ++step) {
    Reload();
    for (const std::string& name : names_) {
      const ModelPtr model = Find(name);
      if (model == nullptr) continue;
      if (EverythingHappens() || random.OneIn(10)) streams.push_back(model);
      if (DataOf(model, "a").size() != kLargeBytes || !model->files().front().file->CheckUnchanged().ok()) continue;
      ++published;
      const int known = variants.emplace(std::pair(name, model->generation()), VariantOf(model)).first->second;
      ASSERT_EQ(known, VariantOf(model)) << "step " << step << ", " << name;
    }
    if (!EverythingHappens() && streams.size() > 5) streams.clear();
    for (std::int64_t i = random.Between(1, 3); i > 0; --i) Change(random);
  }
  std::printf("%d models compared, %zu generations\n", published, variants.size());
}

INSTANTIATE_TEST_SUITE_P(, RandomReplacementTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "EverythingHappens" : "NamesStay"; });

class DigestAfterTest : public ::testing::Test {
 protected:
  std::shared_ptr<const MappedFile> Map(std::string_view name, std::string_view bytes) {
    absl::StatusOr<std::shared_ptr<const MappedFile>> file = MappedFile::Open(dir_.Write(name, bytes));
    EXPECT_THAT(file, IsOk());
    return *std::move(file);
  }
  static FileVersion VersionOf(const std::shared_ptr<const MappedFile>& file, std::string digest) {
    return {file->identity(), "sampled", std::move(digest), file};
  }

  test::TempDir dir_;
  std::string sha256_;
};

TEST_F(DigestAfterTest, FollowsTheTable) {
  const auto file = Map("now", "bytes");
  const auto equal = Map("equal", "bytes");
  const auto different = Map("different", "other");
  const auto written = Map("written", "bytes");
  dir_.Write("written", "bytes and more");
  FileVersion closed = VersionOf(Map("closed", "bytes"), "closed");
  const std::string replaced = ReplacedDigest("sampled", Sha256OfBytes("bytes"));
  const auto digest_after = [&](const FileVersions& versions) {
    const absl::StatusOr<std::string> digest = DigestAfter(versions, *file, "sampled", sha256_, {});
    return digest.ok() ? *digest : digest.status().ToString();
  };
  EXPECT_EQ(digest_after({}), "sampled");
  EXPECT_EQ(digest_after({{equal->identity(), "another", "another", equal}}), "sampled");
  EXPECT_EQ(digest_after({VersionOf(file, "same")}), "same");
  EXPECT_EQ(digest_after({VersionOf(equal, "equal")}), "equal");
  EXPECT_EQ(sha256_, "") << "nothing of that needs it";
  EXPECT_EQ(digest_after({VersionOf(different, "different")}), replaced);
  EXPECT_EQ(sha256_, Sha256OfBytes("bytes"));
  EXPECT_EQ(digest_after({VersionOf(written, "written")}), replaced);
  EXPECT_EQ(digest_after({closed}), replaced);
  // The newest of the same sample counts.
  EXPECT_EQ(digest_after({{equal->identity(), "another", "another", equal}, VersionOf(equal, "equal")}), "equal");
  EXPECT_EQ(digest_after({VersionOf(different, "different"), VersionOf(equal, "equal")}), replaced);
}

TEST_F(DigestAfterTest, VersionsThatAreClosedAreForgottenExceptTheFirst) {
  auto one = Map("one", "1");
  auto two = Map("two", "2");
  FileVersions versions = AddVersion(VersionOf(one, "d1"), {});
  versions = AddVersion(VersionOf(two, "d2"), versions);
  ASSERT_EQ(versions.size(), 2U);
  EXPECT_EQ(versions[0].digest, "d2");
  EXPECT_EQ(versions[1].digest, "d1");
  versions = AddVersion(VersionOf(one, "d3"), versions);
  ASSERT_EQ(versions.size(), 2U) << "a file that comes back is not there twice";
  EXPECT_EQ(versions[0].digest, "d3");
  EXPECT_EQ(OpenVersions(versions, 0).size(), 2U);
  one.reset();
  EXPECT_EQ(OpenVersions(versions, 1).size(), 2U);
  EXPECT_EQ(OpenVersions(versions, 0).size(), 1U);
  two.reset();
  EXPECT_EQ(OpenVersions(versions, 1).size(), 1U);
  EXPECT_EQ(OpenVersions(versions, 0).size(), 0U);
}

TEST_F(DigestAfterTest, EndsWhenItIsStopped) {
  const auto file = Map("now", "bytes");
  const auto equal = Map("equal", "bytes");
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THAT(DigestAfter({VersionOf(equal, "equal")}, *file, "sampled", sha256_, stop.get_token()),
              StatusIs(absl::StatusCode::kCancelled));
  FileVersion closed = VersionOf(Map("closed", "bytes"), "closed");
  EXPECT_THAT(DigestAfter({closed}, *file, "sampled", sha256_, stop.get_token()),
              StatusIs(absl::StatusCode::kCancelled));
}

TEST_F(DigestAfterTest, FileThatChangesMeanwhileIsAborted) {
  const auto file = Map("now", "bytes");
  const auto equal = Map("equal", "bytes");
  const auto different = Map("different", "other");
  const timespec times[2] = {{1'000'000'000, 1}, {1'000'000'000, 1}};
  ASSERT_EQ(::utimensat(AT_FDCWD, dir_.Path("now").c_str(), times, 0), 0);
  for (const auto& version : {equal, different}) {
    EXPECT_THAT(DigestAfter({VersionOf(version, "d")}, *file, "sampled", sha256_, {}),
                StatusIs(absl::StatusCode::kAborted, HasSubstr("changed while it was loaded")));
  }
}

}  // namespace
}  // namespace tensorferry
