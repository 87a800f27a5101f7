// SPDX-License-Identifier: Apache-2.0
// Certificates and keys are validated before gRPC uses them.
#include "lib/tls/pem.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/time/clock.h"
#include "tests/testing/certificates.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry {
namespace {

using test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr auto kInvalidArgument = absl::StatusCode::kInvalidArgument;

class PemTest : public ::testing::Test {
 protected:
  test::Authority authority_{"authority"};
  test::IssuedCertificate issued_ = authority_.Issue("name");
  Pem certificate_{"cert.pem", issued_.certificate};
  Pem key_{"key.pem", issued_.private_key};
};

TEST_F(PemTest, MatchingPairHasTheValidityOfItsCertificate) {
  TF_ASSERT_OK_AND_ASSIGN(const Validity validity, CheckKeyPair(certificate_, key_));
  EXPECT_LT(validity.not_before, absl::Now());
  EXPECT_GT(validity.not_after, absl::Now() + absl::Hours(23));
  EXPECT_LT(validity.not_after, absl::Now() + absl::Hours(25));
  TF_ASSERT_OK_AND_ASSIGN(const Validity past, [&] {
    const test::IssuedCertificate expired = authority_.Issue("name", -std::chrono::hours(1));
    return CheckKeyPair({"c", expired.certificate}, {"k", expired.private_key});
  }());
  EXPECT_LT(past.not_after, absl::Now());
}

TEST_F(PemTest, ChainsCommentsAndBothInOneFileAreAccepted) {
  certificate_.text += "a comment\n" + authority_.certificate();
  TF_EXPECT_OK(CheckKeyPair(certificate_, key_));
  const Pem both{"both.pem", issued_.private_key + issued_.certificate};
  TF_EXPECT_OK(CheckKeyPair(both, both));
  TF_EXPECT_OK(CheckAuthorities({"ca.pem", authority_.certificate() + test::Authority("other").certificate()}));
}

TEST_F(PemTest, InvalidPairIsRefusedWithFileAndReason) {
  EXPECT_THAT(CheckKeyPair({"c", ""}, key_),
              StatusIs(kInvalidArgument, AllOf(HasSubstr("\"c\""), HasSubstr("no certificate"))));
  EXPECT_THAT(CheckKeyPair(key_, key_), StatusIs(kInvalidArgument, HasSubstr("contains no certificate")));
  EXPECT_THAT(CheckKeyPair(certificate_, certificate_),
              StatusIs(kInvalidArgument, AllOf(HasSubstr("\"cert.pem\""), HasSubstr("contains no private key"))));
  EXPECT_THAT(CheckKeyPair(certificate_, {"k", authority_.Issue("name").private_key}),
              StatusIs(kInvalidArgument, AllOf(HasSubstr("\"k\""), HasSubstr("\"cert.pem\""))));
  // Not the leaf first.
  EXPECT_THAT(CheckKeyPair({"c", authority_.certificate() + issued_.certificate}, key_),
              StatusIs(kInvalidArgument, HasSubstr("private key does not match the first certificate")));
  EXPECT_THAT(CheckKeyPair(certificate_, {"k",
                                          "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGw\n"
                                          "-----END ENCRYPTED PRIVATE KEY-----\n"}),
              StatusIs(kInvalidArgument, HasSubstr("encrypted with a password")));
  EXPECT_THAT(CheckAuthorities({"ca", "hello"}), StatusIs(kInvalidArgument, HasSubstr("contains no certificate")));
  std::string second_broken = authority_.certificate() + issued_.certificate;
  second_broken.replace(second_broken.rfind("BEGIN CERTIFICATE-----\n") + 23, 4, "@@@@");
  EXPECT_THAT(CheckAuthorities({"ca", second_broken}),
              StatusIs(kInvalidArgument, HasSubstr("certificate 2 cannot be parsed")));
}

// A file that is being written may end anywhere.
TEST_F(PemTest, EveryTruncationIsAnErrorOrWhole) {
  const std::string& text = issued_.certificate;
  const std::size_t end = text.rfind("-----END");
  for (std::size_t size = 0; size < end; ++size) {
    EXPECT_FALSE(CheckKeyPair({"c", text.substr(0, size)}, key_).ok()) << size;
  }
  const std::string& key = issued_.private_key;
  for (std::size_t size = 0; size < key.rfind("-----END"); ++size) {
    EXPECT_FALSE(CheckKeyPair(certificate_, {"k", key.substr(0, size)}).ok()) << size;
  }
}

TEST_F(PemTest, MissingSpecialAndLargeFilesAreRefused) {
  const test::TempDir directory;
  EXPECT_THAT(ReadPem(directory.Path("missing")), StatusIs(absl::StatusCode::kNotFound, HasSubstr("missing")));
  EXPECT_THAT(ReadPem(directory.MakeFifo("fifo")), StatusIs(kInvalidArgument, HasSubstr("not a regular file")));
  EXPECT_THAT(ReadPem(directory.path()), StatusIs(kInvalidArgument, HasSubstr("not a regular file")));
  const std::string large = directory.Write("large", std::string(kMaxPemBytes + 1, 'x'));
  EXPECT_THAT(ReadPem(large), StatusIs(kInvalidArgument, HasSubstr("longer than the limit of 4194304 bytes")));
}

}  // namespace
}  // namespace tensorferry
