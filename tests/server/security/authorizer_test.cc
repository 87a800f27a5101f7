// SPDX-License-Identifier: Apache-2.0
// Who may call: names in certificates, bearer tokens, and what both together let in.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "server/security/authorizer.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry::server {
namespace {

using test::StatusIs;
using ::testing::HasSubstr;

constexpr auto kUnauthenticated = absl::StatusCode::kUnauthenticated;
constexpr auto kPermissionDenied = absl::StatusCode::kPermissionDenied;

class AccessTest : public ::testing::Test {
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

TEST_F(AccessTest, WithoutRulesEverybodyReadsEverything) {
  const Authorizer access({}, nullptr);
  for (const Caller& caller : {Caller{}, WithToken("Bearer whatever"), Caller{{"name"}, {}}}) {
    TF_ASSERT_OK_AND_ASSIGN(const Permissions permissions, access.Check(caller));
    EXPECT_TRUE(permissions.MayRead("a"));
  }
}

TEST_F(AccessTest, TokensAreTakenInTheSpellingsOfTheStandard) {
  const Authorizer access({}, Tokens());
  for (const char* spelling : {"Bearer ", "bearer ", "BEARER ", "bEaReR   "}) {
    TF_ASSERT_OK_AND_ASSIGN(const Permissions all,
                            access.Check(WithToken(spelling + std::string("token-for-everything"))));
    EXPECT_TRUE(all.MayRead("other/x"));
    TF_ASSERT_OK_AND_ASSIGN(const Permissions team,
                            access.Check(WithToken(spelling + std::string("token-of-the-team=="))));
    EXPECT_TRUE(team.MayRead("team/x"));
    EXPECT_FALSE(team.MayRead("other/x"));
    EXPECT_FALSE(team.MayRead("team"));
  }
}

TEST_F(AccessTest, EverythingElseIsUnauthenticated) {
  const Authorizer access({}, Tokens());
  EXPECT_THAT(access.Check({}), StatusIs(kUnauthenticated, HasSubstr("is needed")));
  for (const char* malformed : {"", "Bearer", "Bearer ", "Basic token-for-everything", "token-for-everything",
                                "Bearertoken-for-everything", " Bearer token-for-everything"}) {
    EXPECT_THAT(access.Check(WithToken(malformed)), StatusIs(kUnauthenticated, HasSubstr("is not one"))) << malformed;
  }
  for (const char* unknown :
       {"Bearer    ", "Bearer wrong", "Bearer token-for-everything ", "Bearer token-for-everythin",
        "Bearer token-for-everything, Bearer token-of-the-team==", "Bearer Token-for-everything"}) {
    EXPECT_THAT(access.Check(WithToken(unknown)), StatusIs(kUnauthenticated, HasSubstr("not known"))) << unknown;
  }
  EXPECT_THAT(access.Check({{}, {"Bearer token-for-everything", "Bearer token-for-everything"}}),
              StatusIs(kUnauthenticated));
}

TEST_F(AccessTest, OneNameOfTheCertificateMustBeAllowedExactly) {
  const Authorizer access({"rank-0", "spiffe://fleet/a"}, nullptr);
  for (const std::vector<std::string>& names :
       std::vector<std::vector<std::string>>{{"rank-0"}, {"x", "rank-0"}, {"spiffe://fleet/a"}}) {
    TF_EXPECT_OK(access.Check({names, {}}));
  }
  for (const std::vector<std::string>& names :
       std::vector<std::vector<std::string>>{{"rank-00"}, {"Rank-0"}, {""}, {"*"}, {std::string("rank-0\0x", 8)}}) {
    EXPECT_THAT(access.Check({names, {}}), StatusIs(kPermissionDenied, HasSubstr("client certificate")));
  }
  EXPECT_THAT(access.Check({}), StatusIs(kPermissionDenied, HasSubstr("nobody")));
  EXPECT_THAT(access.Check({{"other"}, {}}), StatusIs(kPermissionDenied, HasSubstr("\"other\"")));
}

TEST_F(AccessTest, NameAndTokenAreBothNeeded) {
  const Authorizer access({"rank-0"}, Tokens());
  const std::string bearer = "Bearer token-for-everything";
  TF_EXPECT_OK(access.Check({{"rank-0"}, {bearer}}));
  EXPECT_THAT(access.Check({{"rank-1"}, {bearer}}), StatusIs(kPermissionDenied));
  EXPECT_THAT(access.Check({{"rank-0"}, {}}), StatusIs(kUnauthenticated));
}

}  // namespace
}  // namespace tensorferry::server
