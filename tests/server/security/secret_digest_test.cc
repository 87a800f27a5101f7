// SPDX-License-Identifier: Apache-2.0
#include "server/security/secret_digest.h"

#include <gtest/gtest.h>

#include <string_view>

namespace tensorferry::server {
namespace {

TEST(SecretDigestTest, EqualSecretsOnlyAreEqual) {
  EXPECT_EQ(SecretDigest("secret"), SecretDigest("secret"));
  EXPECT_EQ(SecretDigest(""), SecretDigest(""));
  for (const std::string_view other : {"", "secre", "secret ", "Secret", "secreu"}) {
    EXPECT_FALSE(SecretDigest("secret") == SecretDigest(other)) << other;
  }
  EXPECT_FALSE(SecretDigest(std::string_view("a\0b", 3)) == SecretDigest(std::string_view("a\0c", 3)));
}

}  // namespace
}  // namespace tensorferry::server
