// SPDX-License-Identifier: Apache-2.0
#include "server/security/token_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

#include "tests/testing/status_matchers.h"

namespace tensorferry::server {
namespace {

using test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr auto kInvalidArgument = absl::StatusCode::kInvalidArgument;

TEST(TokenTableTest, TokenWithoutGlobsReadsEveryModel) {
  TF_ASSERT_OK_AND_ASSIGN(const TokenTable table, TokenTable::Parse("# a comment\r\n"
                                                                    "\n"
                                                                    "  \t\n"
                                                                    "admin 0123456789abcdef\r\n"
                                                                    "\t team\tABCDEF-._~+/==== team/* [ab]?\n"
                                                                    "  # another token-that-is-none\n"
                                                                    "team fedcba9876543210 last"));
  EXPECT_EQ(table.size(), 3U);
  const auto may_read = [&](std::string_view token, std::string_view model) {
    const auto grant = table.Find(token);
    EXPECT_NE(grant, nullptr) << token;
    return grant != nullptr && grant->MayRead(model);
  };
  for (const std::string_view model : {".", "team/x", "anything", ""}) {
    EXPECT_TRUE(may_read("0123456789abcdef", model)) << model;
  }
  for (const std::string_view model : {"team/", "team/x/y.safetensors", "ax", "b1"}) {
    EXPECT_TRUE(may_read("ABCDEF-._~+/====", model)) << model;
  }
  for (const std::string_view model : {".", "team", "xteam/x", "abc", "c1", ""}) {
    EXPECT_FALSE(may_read("ABCDEF-._~+/====", model)) << model;
  }
  EXPECT_TRUE(may_read("fedcba9876543210", "last"));
  for (const std::string_view token : {"", "0123456789abcde", "0123456789abcdef0", "0123456789ABCDEF", "admin",
                                       "token-that-is-none", "ABCDEF-._~+/==="}) {
    EXPECT_EQ(table.Find(token), nullptr) << token;
  }
}

TEST(TokenTableTest, GrantHasTheNameOfItsLine) {
  TF_ASSERT_OK_AND_ASSIGN(const TokenTable table,
                          TokenTable::Parse("a first-token-0000000\nb second-token-000000 m\n"));
  EXPECT_EQ(table.Find("first-token-0000000")->name(), "a");
  EXPECT_EQ(table.Find("second-token-000000")->name(), "b");
}

TEST(TokenTableTest, CommentsAloneLeaveNoToken) {
  TF_ASSERT_OK_AND_ASSIGN(const TokenTable table, TokenTable::Parse("# none\n"));
  EXPECT_EQ(table.size(), 0U);
  EXPECT_EQ(table.Find(""), nullptr);
}

TEST(TokenTableTest, ErrorNamesTheLineAndNeverItsText) {
  const std::string token = "tokentokentokentoken";
  const std::string long_token(1025, 't');
  const std::pair<std::string, std::string> cases[] = {
      {"", "the file is empty"},
      {"name", "line 1: no token after"},
      {"a " + token + "\nname\n", "line 2: no token after"},
      {"\n\nname short-token\n", "line 3: token has fewer than 16"},
      {"name " + long_token, "line 1: token has more than 1024"},
      {"name " + token + "!", "line 1: token has a character"},
      {"name =" + token, "line 1: token has a character"},
      {"name " + token + "\xc3\xa9", "line 1: token has a character"},
      {std::string("name ") + token + '\0', "line 1: token has a character"},
      {"a " + token + "\nb " + token, "line 2: duplicate token"},
      {"a " + token + " ok [" + token, "line 1: model glob 2"},
      {"a " + token + " " + token + "\\", "line 1: model glob 1"}};
  for (const auto& [text, reason] : cases) {
    EXPECT_THAT(TokenTable::Parse(text),
                StatusIs(kInvalidArgument, AllOf(HasSubstr(reason), Not(HasSubstr("tokentoken")), Not(HasSubstr("ttt")),
                                                 Not(HasSubstr("short-token")))))
        << text;
  }
  std::string many;
  for (int i = 0; i < 1001; ++i) many += "name " + std::to_string(1'000'000'000'000'000 + i) + "\n";
  EXPECT_THAT(TokenTable::Parse(many), StatusIs(kInvalidArgument, HasSubstr("line 1001: more than 1000")));
}

}  // namespace
}  // namespace tensorferry::server
