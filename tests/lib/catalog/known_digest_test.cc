// SPDX-License-Identifier: Apache-2.0
// SHA-256s that are known without reading the file: where they are found, and which files they refuse.
#include "lib/catalog/known_digest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "lib/catalog/catalog.h"
#include "lib/checksum/sha256.h"
#include "tests/lib/catalog/reload_fixture.h"
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

// A root with files that differ where no sample is taken.
class KnownDigestTest : public test::ReloadFixture {
 protected:
  static std::string Bytes(char middle) {
    std::string file = test::ValidFile({{"a", Dtype::kU8, {100'000}}});
    file[file.size() - 20'000] = middle;
    return file;
  }
  static std::string Sha256Of(std::string_view bytes) {
    Sha256 digest;
    digest.Add(test::AsBytes(bytes));
    return digest.Finish();
  }
  std::string GenerationOf(std::string_view name) {
    Reload();
    const test::ModelPtr model = Find(name);
    return model == nullptr ? "" : model->generation();
  }
};

TEST_F(KnownDigestTest, KnownDigestsAndVerifyingDoNotChangeTheGeneration) {
  root_.Write("plain/m.safetensors", Bytes('x'));
  root_.Write("sums/m.safetensors", Bytes('x'));
  root_.Write("sums/m.safetensors.sha256", Sha256Of(Bytes('x')) + "  m.safetensors\n");
  root_.Write("cache/blobs/" + Sha256Of(Bytes('x')), Bytes('x'));
  root_.MakeLink("cache/snapshots/1/m.safetensors", "../../blobs/" + Sha256Of(Bytes('x')));
  TF_ASSERT_OK_AND_ASSIGN(const test::ModelPtr opened, Model::Open(root_.Path("plain")));
  for (const Verify verify : {Verify::kHeaders, Verify::kFull}) {
    catalog_ = nullptr;
    options_.verify = verify;
    for (const std::string_view name : {"plain", "sums", "cache/snapshots/1"}) {
      EXPECT_EQ(GenerationOf(name), opened->generation()) << name;
      EXPECT_EQ(Find(name)->FindFile("m.safetensors")->digest, opened->files().front().digest) << name;
      EXPECT_EQ(Find(name)->tree_digest(), opened->tree_digest()) << name;
    }
  }
  EXPECT_THAT(opened->files().front().digest, StartsWith("sampled-sha256:"));
  for (const std::string_view path : {"sums", "sums/m.safetensors", "cache/snapshots/1/m.safetensors"}) {
    TF_ASSERT_OK_AND_ASSIGN(const test::ModelPtr model, Model::Open(root_.Path(path)));
    EXPECT_EQ(model->generation(), opened->generation()) << path;
  }
}

TEST_F(KnownDigestTest, WithoutFullVerificationAKnownDigestHasNoEffect) {
  root_.Write("sums/m.safetensors", Bytes('x'));
  root_.Write("cache/blobs/" + kA, Bytes('x'));
  root_.MakeLink("cache/snapshots/1/m.safetensors", "../../blobs/" + kA);
  const std::string generation = GenerationOf("sums");
  EXPECT_EQ(GenerationOf("cache/snapshots/1"), generation);
  root_.Write("sums/m.safetensors.sha256", kA + "  m.safetensors\n");
  EXPECT_TRUE(NothingChanged());
  root_.Write("sums/m.safetensors.sha256", kB);
  EXPECT_TRUE(NothingChanged());
  for (const std::string_view path : {"sums", "sums/m.safetensors", "cache/snapshots/1/m.safetensors"}) {
    TF_ASSERT_OK_AND_ASSIGN(const test::ModelPtr model, Model::Open(root_.Path(path)));
    EXPECT_EQ(model->generation(), generation) << path;
  }
}

TEST_F(KnownDigestTest, SumFileOfAnotherKindIsNoReasonNotToServe) {
  options_.verify = Verify::kFull;
  root_.Write("m/m.safetensors", Bytes('x'));
  const std::string generation = GenerationOf("m");
  ASSERT_NE(generation, "");
  root_.MakeFifo("m/m.safetensors.sha256");
  EXPECT_EQ(GenerationOf("m"), generation);
  Remove("m/m.safetensors.sha256");
  root_.MakeLink("m/m.safetensors.sha256", "/etc/hostname");
  EXPECT_EQ(GenerationOf("m"), generation);
  Remove("m/m.safetensors.sha256");
  root_.Write("m/m.safetensors.sha256", kA + std::string(1 << 20, ' '));
  EXPECT_EQ(GenerationOf("m"), generation) << "larger than such files are";
}

TEST_F(KnownDigestTest, FullVerificationRefusesAFileWhoseDigestIsAnother) {
  options_.verify = Verify::kFull;
  for (const char c : {'x', 'y'}) root_.Write(std::string(1, c) + "/m.safetensors", Bytes(c));
  Reload();
  const std::string generation = Find("x")->generation();
  EXPECT_EQ(Find("y")->generation(), generation) << "this is what samples cannot see";

  root_.Write("x/m.safetensors.sha256", Sha256Of(Bytes('x')) + "  m.safetensors\n");
  root_.Write("y/m.safetensors.sha256", kA + "  m.safetensors\n");
  for (int scan = 0; scan < 2; ++scan) {
    catalog_ = nullptr;
    Reload();
    ASSERT_NE(Find("x"), nullptr);
    EXPECT_EQ(Find("x")->generation(), generation);
    EXPECT_EQ(Find("y"), nullptr);
    const auto refused = catalog_->entries().find("y")->second.model.status();
    EXPECT_THAT(refused,
                StatusIs(absl::StatusCode::kDataLoss,
                         AllOf(HasSubstr("\"y/m.safetensors\""), HasSubstr("\"m.safetensors.sha256\""),
                               HasSubstr("SHA-256 is " + Sha256Of(Bytes('y'))), HasSubstr("should be " + kA))));
  }
  EXPECT_TRUE(NothingChanged());
  Remove("y/m.safetensors.sha256");
  EXPECT_EQ(GenerationOf("y"), generation);
}

TEST_F(KnownDigestTest, FullVerificationRefusesABlobWhoseNameIsAnotherDigest) {
  options_.verify = Verify::kFull;
  root_.Write("cache/blobs/" + kA, Bytes('x'));
  root_.MakeLink("cache/snapshots/1/m.safetensors", "../../blobs/" + kA);
  Reload();
  EXPECT_EQ(Find("cache/snapshots/1"), nullptr);
  EXPECT_THAT(ReasonOf("cache/snapshots/1"), AllOf(HasSubstr("blob"), HasSubstr("should be " + kA)));
}

TEST_F(KnownDigestTest, DigestThatIsKnownLaterIsVerifiedWhileTheFileIsOpen) {
  options_.verify = Verify::kFull;
  root_.Write("m/m.safetensors", Bytes('x'));
  Reload();
  const test::ModelPtr before = Find("m");
  root_.Write("m/m.safetensors.sha256", Sha256Of(Bytes('x')));
  Reload();
  EXPECT_EQ(Find("m"), before) << "the same file, verified";
  root_.Write("m/m.safetensors.sha256", kB);
  Reload();
  EXPECT_EQ(Find("m"), before) << "what is open stays what it is";
  EXPECT_THAT(ReasonOf("m"), HasSubstr("should be " + kB));
}

TEST_F(KnownDigestTest, LoadEndsWhenItIsStopped) {
  root_.Write("m/m.safetensors", Bytes('x'));
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THAT(Catalog::Load(root_.path(), {.verify = Verify::kFull, .stop = stop.get_token()}),
              StatusIs(absl::StatusCode::kCancelled));
}

}  // namespace
}  // namespace tensorferry
