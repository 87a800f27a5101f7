// SPDX-License-Identifier: Apache-2.0
#include "server/security/authorizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry::server {
namespace {

using test::StatusIs;
using ::testing::HasSubstr;

constexpr auto kUnauthenticated = absl::StatusCode::kUnauthenticated;
constexpr auto kPermissionDenied = absl::StatusCode::kPermissionDenied;

class AuthorizerTest : public ::testing::Test {
 protected:
  std::unique_ptr<TokenFile> Tokens() {
    const std::string path = directory_.Write("tokens",
                                              "admin token-for-everything\n"
                                              "team token-of-the-team== team/*\n");
    absl::StatusOr<std::unique_ptr<TokenFile>> tokens = TokenFile::Open(path, metrics_);
    EXPECT_TRUE(tokens.ok()) << tokens.status();
    return *std::move(tokens);
  }

  test::TempDir directory_;
  Metrics metrics_;
};

Caller WithToken(std::string authorization) {
  return {.certificate_names = {}, .authorization = {std::move(authorization)}};
}

TEST_F(AuthorizerTest, WithoutRulesEveryCallerReadsEverything) {
  const Authorizer authorizer({}, nullptr);
  for (const Caller& caller : {Caller{}, WithToken("Bearer whatever"), Caller{{"name"}, {}}}) {
    TF_ASSERT_OK_AND_ASSIGN(const Permissions permissions, authorizer.Check(caller));
    EXPECT_TRUE(permissions.MayRead("a"));
  }
}

TEST_F(AuthorizerTest, SchemeMayBeInUpperOrLowerCase) {
  const Authorizer authorizer({}, Tokens());
  for (const char* spelling : {"Bearer ", "bearer ", "BEARER ", "bEaReR   "}) {
    TF_ASSERT_OK_AND_ASSIGN(const Permissions all,
                            authorizer.Check(WithToken(spelling + std::string("token-for-everything"))));
    EXPECT_TRUE(all.MayRead("other/x"));
    TF_ASSERT_OK_AND_ASSIGN(const Permissions team,
                            authorizer.Check(WithToken(spelling + std::string("token-of-the-team=="))));
    EXPECT_TRUE(team.MayRead("team/x"));
    EXPECT_FALSE(team.MayRead("other/x"));
    EXPECT_FALSE(team.MayRead("team"));
  }
}

TEST_F(AuthorizerTest, MalformedAndUnknownTokensAreUnauthenticated) {
  const Authorizer authorizer({}, Tokens());
  EXPECT_THAT(authorizer.Check({}), StatusIs(kUnauthenticated, HasSubstr("requires a bearer token")));
  for (const char* malformed : {"", "Bearer", "Bearer ", "Basic token-for-everything", "token-for-everything",
                                "Bearertoken-for-everything", " Bearer token-for-everything"}) {
    EXPECT_THAT(authorizer.Check(WithToken(malformed)), StatusIs(kUnauthenticated, HasSubstr("is not a single")))
        << malformed;
  }
  for (const char* unknown :
       {"Bearer    ", "Bearer wrong", "Bearer token-for-everything ", "Bearer token-for-everythin",
        "Bearer token-for-everything, Bearer token-of-the-team==", "Bearer Token-for-everything"}) {
    EXPECT_THAT(authorizer.Check(WithToken(unknown)), StatusIs(kUnauthenticated, HasSubstr("unknown bearer token")))
        << unknown;
  }
  EXPECT_THAT(authorizer.Check({{}, {"Bearer token-for-everything", "Bearer token-for-everything"}}),
              StatusIs(kUnauthenticated));
}

TEST_F(AuthorizerTest, OneNameOfTheCertificateMustBeAllowedExactly) {
  const Authorizer authorizer({"rank-0", "spiffe://fleet/a"}, nullptr);
  for (const std::vector<std::string>& names :
       std::vector<std::vector<std::string>>{{"rank-0"}, {"x", "rank-0"}, {"spiffe://fleet/a"}}) {
    TF_EXPECT_OK(authorizer.Check({names, {}}));
  }
  for (const std::vector<std::string>& names :
       std::vector<std::vector<std::string>>{{"rank-00"}, {"Rank-0"}, {""}, {"*"}, {std::string("rank-0\0x", 8)}}) {
    EXPECT_THAT(authorizer.Check({names, {}}), StatusIs(kPermissionDenied, HasSubstr("is not in --allowed-clients")));
  }
  EXPECT_THAT(authorizer.Check({}), StatusIs(kPermissionDenied, HasSubstr("no client certificate")));
  EXPECT_THAT(authorizer.Check({{"other"}, {}}), StatusIs(kPermissionDenied, HasSubstr("\"other\"")));
}

TEST_F(AuthorizerTest, ClientIsTheTokensNameOrTheCertificates) {
  TF_ASSERT_OK_AND_ASSIGN(const Permissions anybody, Authorizer({}, nullptr).Check({}));
  EXPECT_EQ(anybody.client(), "");
  TF_ASSERT_OK_AND_ASSIGN(const Permissions first, Authorizer({}, nullptr).Check({{"rank-0", "node"}, {}}));
  EXPECT_EQ(first.client(), "rank-0");
  TF_ASSERT_OK_AND_ASSIGN(const Permissions allowed, Authorizer({"node"}, nullptr).Check({{"rank-0", "node"}, {}}));
  EXPECT_EQ(allowed.client(), "node");
  TF_ASSERT_OK_AND_ASSIGN(const Permissions token,
                          Authorizer({}, Tokens()).Check({{"rank-0"}, {"Bearer token-of-the-team=="}}));
  EXPECT_EQ(token.client(), "team");
}

TEST_F(AuthorizerTest, NameAndTokenAreBothNeeded) {
  const Authorizer authorizer({"rank-0"}, Tokens());
  const std::string bearer = "Bearer token-for-everything";
  TF_EXPECT_OK(authorizer.Check({{"rank-0"}, {bearer}}));
  EXPECT_THAT(authorizer.Check({{"rank-1"}, {bearer}}), StatusIs(kPermissionDenied));
  EXPECT_THAT(authorizer.Check({{"rank-0"}, {}}), StatusIs(kUnauthenticated));
}

}  // namespace
}  // namespace tensorferry::server
