// SPDX-License-Identifier: Apache-2.0
// What is known of a file's SHA-256 without reading it, and what a generation makes of that.
#include "lib/storage/known_digest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "tensorferry/storage/catalog.h"
#include "tests/storage/reload_fixture.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry {
namespace {

using test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kA(64, 'a');
const std::string kB(64, 'b');

TEST(DigestInSumFileTest, LineThatNamesTheFileGivesItsDigest) {
  const std::string name = "m.safetensors";
  EXPECT_EQ(DigestInSumFile(kA + "  m.safetensors\n", name), kA);
  EXPECT_EQ(DigestInSumFile(kA + " *m.safetensors", name), kA);
  EXPECT_EQ(DigestInSumFile(kA + "  ./models/m.safetensors\r\n", name), kA);
  EXPECT_EQ(DigestInSumFile(kB + "  other.safetensors\n\n# words\n" + kA + "  m.safetensors\n", name), kA);
  EXPECT_EQ(DigestInSumFile(kA, name), kA);
  EXPECT_EQ(DigestInSumFile(kA + " \n", name), kA);
  EXPECT_EQ(DigestInSumFile(std::string(64, 'A') + "\n", name), kA);
}

TEST(DigestInSumFileTest, AnythingElseGivesNone) {
  const std::string name = "m.safetensors";
  for (const std::string& text : {std::string(), std::string("\n"), kA.substr(1), kA + "a", kA + "  other.safetensors",
                                  kA + "  xm.safetensors", kA + "m.safetensors", std::string(64, 'g'), " " + kA,
                                  std::string("MD5 (m.safetensors) = ") + kA, std::string(100'000, '\0')}) {
    EXPECT_EQ(DigestInSumFile(text, name), "") << text.substr(0, 100);
  }
}

TEST(DigestInBlobPathTest, OnlyBlobsOfThatNameHaveADigest) {
  EXPECT_EQ(DigestInBlobPath("/cache/models--a--b/blobs/" + kA), kA);
  EXPECT_EQ(DigestInBlobPath("/cache/blobs/" + kA + ".incomplete"), "");
  EXPECT_EQ(DigestInBlobPath("/cache/blobs/" + kA.substr(24)), "") << "a Git blob's name";
  EXPECT_EQ(DigestInBlobPath("/cache/snapshots/" + kA), "");
  EXPECT_EQ(DigestInBlobPath("/cache/noblobs/" + kA), "");
  EXPECT_EQ(DigestInBlobPath("blobs/" + kA), "");
  EXPECT_EQ(DigestInBlobPath(""), "");
}

// A root whose file can change where no sample is taken.
class KnownDigestTest : public test::ReloadFixture {
 protected:
  static std::string Bytes(char middle) {
    std::string file = test::ValidFile({{"a", Dtype::kU8, {100'000}}});
    file[file.size() - 20'000] = middle;
    return file;
  }
  std::string GenerationOf(std::string_view name) {
    Reload();
    const test::ModelPtr model = Find(name);
    return model == nullptr ? "" : model->generation();
  }
};

TEST_F(KnownDigestTest, SumFileTellsApartWhatSamplesCannot) {
  for (const char c : {'x', 'y'}) root_.Write(std::string(1, c) + "/m.safetensors", Bytes(c));
  EXPECT_EQ(GenerationOf("x"), GenerationOf("y")) << "this is what samples cannot see";
  const std::string sampled = GenerationOf("x");
  root_.Write("x/m.safetensors.sha256", kA + "  m.safetensors\n");
  root_.Write("y/m.safetensors.sha256", kB + "  m.safetensors\n");
  EXPECT_NE(GenerationOf("x"), GenerationOf("y"));
  EXPECT_NE(GenerationOf("x"), sampled);
  EXPECT_TRUE(NothingChanged());
  root_.Write("y/m.safetensors.sha256", kA);
  EXPECT_EQ(GenerationOf("x"), GenerationOf("y")) << "it is the digest that counts, not how it is written";
  TF_ASSERT_OK_AND_ASSIGN(const test::ModelPtr opened, Model::Open(root_.Path("x")));
  EXPECT_EQ(opened->generation(), GenerationOf("x"));
  TF_ASSERT_OK_AND_ASSIGN(const test::ModelPtr file, Model::Open(root_.Path("x/m.safetensors")));
  EXPECT_EQ(file->generation(), GenerationOf("x/m.safetensors"));
  Remove("x/m.safetensors.sha256");
  EXPECT_EQ(GenerationOf("x"), sampled);
}

TEST_F(KnownDigestTest, NameOfABlobCountsAsASumFileDoes) {
  root_.Write("cache/blobs/" + kA, Bytes('x'));
  root_.Write("cache/blobs/" + kB, Bytes('y'));
  root_.MakeLink("cache/snapshots/1/m.safetensors", "../../blobs/" + kA);
  root_.MakeLink("cache/snapshots/2/m.safetensors", "../../blobs/" + kB);
  root_.Write("plain/m.safetensors", Bytes('x'));
  EXPECT_NE(GenerationOf("cache/snapshots/1"), GenerationOf("cache/snapshots/2"));
  EXPECT_NE(GenerationOf("cache/snapshots/1"), GenerationOf("plain"));
  root_.Write("plain/m.safetensors.sha256", kA);
  EXPECT_EQ(GenerationOf("cache/snapshots/1"), GenerationOf("plain"));
  TF_ASSERT_OK_AND_ASSIGN(const test::ModelPtr opened, Model::Open(root_.Path("cache/snapshots/1/m.safetensors")));
  EXPECT_EQ(opened->generation(), GenerationOf("cache/snapshots/1"));
}

TEST_F(KnownDigestTest, SumFileOfAnotherKindIsNoReasonNotToServe) {
  root_.Write("m/m.safetensors", Bytes('x'));
  const std::string sampled = GenerationOf("m");
  root_.MakeFifo("m/m.safetensors.sha256");
  EXPECT_EQ(GenerationOf("m"), sampled);
  Remove("m/m.safetensors.sha256");
  root_.MakeLink("m/m.safetensors.sha256", "/etc/hostname");
  EXPECT_EQ(GenerationOf("m"), sampled);
  Remove("m/m.safetensors.sha256");
  root_.Write("m/m.safetensors.sha256", kA + std::string(1 << 20, ' '));
  EXPECT_EQ(GenerationOf("m"), sampled) << "larger than such files are";
}

TEST_F(KnownDigestTest, FullFingerprintSeesEveryByteAndChecksWhatIsKnown) {
  const LoadOptions full = {.fingerprint = FingerprintMode::kFull};
  for (const char c : {'x', 'y'}) root_.Write(std::string(1, c) + "/m.safetensors", Bytes(c));
  TF_ASSERT_OK_AND_ASSIGN(catalog_, Catalog::Load(root_.path(), full));
  const std::string generation = Find("x")->generation();
  const std::string fingerprint = Find("x")->files().front().fingerprint;
  EXPECT_NE(generation, Find("y")->generation());
  EXPECT_THAT(fingerprint, StartsWith("sha256:"));

  root_.Write("x/m.safetensors.sha256", fingerprint.substr(7) + "  m.safetensors\n");
  root_.Write("y/m.safetensors.sha256", kA + "  m.safetensors\n");
  for (int scan = 0; scan < 2; ++scan) {
    TF_ASSERT_OK_AND_ASSIGN(catalog_, Catalog::Load(root_.path(), full));
    ASSERT_NE(Find("x"), nullptr);
    EXPECT_EQ(Find("x")->generation(), generation) << "what is known adds nothing to what was read";
    EXPECT_EQ(Find("y"), nullptr);
    EXPECT_THAT(ReasonOf("y"), AllOf(HasSubstr("y/m.safetensors"), HasSubstr("SHA-256 should be " + kA)));
  }
  // Nothing is read again as long as it stays like that, and it is once the digest is right.
  TF_ASSERT_OK_AND_ASSIGN(const test::CatalogPtr same, Catalog::Reload(root_.path(), catalog_, full));
  EXPECT_EQ(same, catalog_);
  Remove("y/m.safetensors.sha256");
  TF_ASSERT_OK_AND_ASSIGN(catalog_, Catalog::Reload(root_.path(), catalog_, full));
  EXPECT_NE(Find("y"), nullptr);
}

TEST_F(KnownDigestTest, LoadEndsWhenItIsStopped) {
  root_.Write("m/m.safetensors", Bytes('x'));
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THAT(Catalog::Load(root_.path(), {.fingerprint = FingerprintMode::kFull, .stop = stop.get_token()}),
              StatusIs(absl::StatusCode::kCancelled));
}

}  // namespace
}  // namespace tensorferry
