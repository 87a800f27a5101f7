// SPDX-License-Identifier: Apache-2.0
#include "server/security/token_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <string_view>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry::server {
namespace {

using test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr auto kInvalidArgument = absl::StatusCode::kInvalidArgument;

TEST(TokenFileTest, InvalidReplacementKeepsPreviousTokens) {
  const test::TempDir directory;
  const std::string path = directory.Write("tokens", "a first-token-0000000\n");
  Metrics metrics;
  TF_ASSERT_OK_AND_ASSIGN(const auto file, TokenFile::Open(path, metrics, {.interval = {}}));
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

TEST(TokenFileTest, ErrorNamesTheFile) {
  const test::TempDir directory;
  Metrics metrics;
  EXPECT_THAT(TokenFile::Open(directory.Path("missing"), metrics),
              StatusIs(absl::StatusCode::kNotFound, HasSubstr(directory.Path("missing"))));
  const std::string path = directory.Write("tokens", "name\n");
  EXPECT_THAT(TokenFile::Open(path, metrics), StatusIs(kInvalidArgument, AllOf(HasSubstr(path), HasSubstr("line 1"))));
}

}  // namespace
}  // namespace tensorferry::server
