// SPDX-License-Identifier: Apache-2.0
// Token files: what is read from them, what is refused, and when they are read again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "server/security/reloading_files.h"
#include "server/security/secret_digest.h"
#include "server/security/token_file.h"
#include "server/security/token_table.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry::server {
namespace {

using test::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr auto kInvalidArgument = absl::StatusCode::kInvalidArgument;
constexpr std::chrono::milliseconds kAtOnce(0);

TEST(SecretDigestTest, EqualSecretsOnlyAreEqual) {
  EXPECT_EQ(SecretDigest("secret"), SecretDigest("secret"));
  EXPECT_EQ(SecretDigest(""), SecretDigest(""));
  for (const std::string_view other : {"", "secre", "secret ", "Secret", "secreu"}) {
    EXPECT_FALSE(SecretDigest("secret") == SecretDigest(other)) << other;
  }
  EXPECT_FALSE(SecretDigest(std::string_view("a\0b", 3)) == SecretDigest(std::string_view("a\0c", 3)));
}

TEST(TokenTableTest, TokensWithAndWithoutGlobs) {
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

TEST(TokenTableTest, CommentsAloneLeaveNoToken) {
  TF_ASSERT_OK_AND_ASSIGN(const TokenTable table, TokenTable::Parse("# none\n"));
  EXPECT_EQ(table.size(), 0U);
  EXPECT_EQ(table.Find(""), nullptr);
}

TEST(TokenTableTest, BadFilesAreToldByLineAndNeverByWhatIsInIt) {
  const std::string token = "tokentokentokentoken";
  const std::string long_token(1025, 't');
  const std::pair<std::string, std::string> cases[] = {
      {"", "nothing"},
      {"name", "line 1: there is no token"},
      {"a " + token + "\nname\n", "line 2: there is no token"},
      {"\n\nname short-token\n", "line 3: the token has fewer than 16"},
      {"name " + long_token, "line 1: the token has more than 1024"},
      {"name " + token + "!", "line 1: the token has a character"},
      {"name =" + token, "line 1: the token has a character"},
      {"name " + token + "\xc3\xa9", "line 1: the token has a character"},
      {std::string("name ") + token + '\0', "line 1: the token has a character"},
      {"a " + token + "\nb " + token, "line 2: its token stands in a line above"},
      {"a " + token + " ok [" + token, "line 1: glob 2"},
      {"a " + token + " " + token + "\\", "line 1: glob 1"}};
  for (const auto& [text, reason] : cases) {
    EXPECT_THAT(TokenTable::Parse(text),
                StatusIs(kInvalidArgument, AllOf(HasSubstr(reason), Not(HasSubstr("tokentoken")), Not(HasSubstr("ttt")),
                                                 Not(HasSubstr("short-token")))))
        << text;
  }
  std::string many;
  for (int i = 0; i < 1001; ++i) many += "name " + std::to_string(1'000'000'000'000'000 + i) + "\n";
  EXPECT_THAT(TokenTable::Parse(many), StatusIs(kInvalidArgument, HasSubstr("line 1001: there are more than 1000")));
}

TEST(WatchedFilesTest, TellsWhatIsNewAndNothingElse) {
  const test::TempDir directory;
  const std::string a = directory.Write("a", "1");
  const std::string b = directory.Write("b", "2");
  ReloadingFiles files({a, b}, 10, kAtOnce);
  auto contents = files.Poll();
  ASSERT_TRUE(contents && contents->ok());
  EXPECT_THAT(**contents, ElementsAre("1", "2"));
  EXPECT_FALSE(files.Poll());
  directory.Write("b", "3");  // of the same size, and at once
  contents = files.Poll();
  ASSERT_TRUE(contents && contents->ok());
  EXPECT_THAT(**contents, ElementsAre("1", "3"));

  directory.Write("b", "more than ten bytes");
  contents = files.Poll();
  ASSERT_TRUE(contents);
  EXPECT_THAT(*contents, StatusIs(kInvalidArgument, HasSubstr("more than 10 bytes")));
  EXPECT_FALSE(files.Poll());
  directory.Write("b", "3");
  contents = files.Poll();
  ASSERT_TRUE(contents && contents->ok());

  // What a link leads to.
  directory.Write("c", "4");
  ASSERT_EQ(::unlink(b.c_str()), 0);
  directory.MakeLink("b", "c");
  contents = files.Poll();
  ASSERT_TRUE(contents && contents->ok());
  EXPECT_THAT(**contents, ElementsAre("1", "4"));

  ASSERT_EQ(::unlink(a.c_str()), 0);
  contents = files.Poll();
  ASSERT_TRUE(contents);
  EXPECT_THAT(*contents, StatusIs(absl::StatusCode::kNotFound, HasSubstr(a)));
  directory.MakeFifo("a");
  contents = files.Poll();
  ASSERT_TRUE(contents);
  EXPECT_THAT(*contents, StatusIs(kInvalidArgument, HasSubstr("not a regular file")));
}

TEST(WatchedFilesTest, LooksNotMoreOftenThanAsked) {
  const test::TempDir directory;
  ReloadingFiles files({directory.Write("a", "1")}, 10, std::chrono::hours(1));
  EXPECT_TRUE(files.Poll());
  directory.Write("a", "2");
  EXPECT_FALSE(files.Poll());
}

TEST(TokenFileTest, BrokenReplacementKeepsWhatWasThere) {
  const test::TempDir directory;
  const std::string path = directory.Write("tokens", "a first-token-0000000\n");
  Metrics metrics;
  TF_ASSERT_OK_AND_ASSIGN(const auto file, TokenFile::Open(path, metrics, kAtOnce));
  EXPECT_NE(file->Current()->Find("first-token-0000000"), nullptr);
  directory.Write("tokens", "a second-token-000000\n");
  EXPECT_EQ(file->Current()->Find("first-token-0000000"), nullptr);
  EXPECT_NE(file->Current()->Find("second-token-000000"), nullptr);
  for (const std::string_view broken : {"", "a", "a third-token-0000000\nb"}) {
    directory.Write("tokens", broken);
    EXPECT_NE(file->Current()->Find("second-token-000000"), nullptr) << broken;
    EXPECT_EQ(file->Current()->Find("third-token-0000000"), nullptr) << broken;
  }
  ASSERT_EQ(::unlink(path.c_str()), 0);
  EXPECT_NE(file->Current()->Find("second-token-000000"), nullptr);
  EXPECT_THAT(metrics.Text({}), HasSubstr("tensorferry_faults_total{kind=\"tokens\"} 4\n"));
  directory.Write("tokens", "# nobody\n");
  EXPECT_EQ(file->Current()->Find("second-token-000000"), nullptr);
}

TEST(TokenFileTest, BadFileIsToldWithItsPath) {
  const test::TempDir directory;
  Metrics metrics;
  EXPECT_THAT(TokenFile::Open(directory.Path("missing"), metrics),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(directory.Path("missing"))));
  const std::string path = directory.Write("tokens", "name\n");
  EXPECT_THAT(TokenFile::Open(path, metrics), StatusIs(kInvalidArgument, AllOf(HasSubstr(path), HasSubstr("line 1"))));
}

}  // namespace
}  // namespace tensorferry::server
