// SPDX-License-Identifier: Apache-2.0
#include "lib/text/glob.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/testing/status_matchers.h"

namespace tensorferry {
namespace {

using test::StatusIs;
using ::testing::HasSubstr;

constexpr auto kInvalidArgument = absl::StatusCode::kInvalidArgument;

bool Matches(std::string_view pattern, std::string_view name) {
  const absl::StatusOr<Glob> glob = Glob::Create(pattern);
  EXPECT_TRUE(glob.ok()) << glob.status();
  return glob.ok() && glob->Matches(name);
}

TEST(GlobTest, MatchesWholeNames) {
  EXPECT_TRUE(Matches("a*", "abc"));
  EXPECT_TRUE(Matches("*", ""));
  EXPECT_TRUE(Matches("*", "a.b/c\nd"));
  EXPECT_FALSE(Matches("b", "abc"));
  EXPECT_TRUE(Matches("layers.?.w", "layers.1.w"));
  EXPECT_FALSE(Matches("layers.?.w", "layers.12.w"));
  EXPECT_FALSE(Matches("a.c", "abc")) << "a dot is a dot";
  EXPECT_TRUE(Matches("?", "ä")) << "a character, not a byte";
}

TEST(GlobTest, SetsMatchOneOfTheirCharactersOrOneOfTheOthers) {
  EXPECT_TRUE(Matches("l[0-3]", "l2"));
  EXPECT_FALSE(Matches("l[0-3]", "l4"));
  EXPECT_TRUE(Matches("l[!0-3]", "l4"));
  EXPECT_FALSE(Matches("l[!0-3]", "l3"));
  EXPECT_TRUE(Matches("[]]", "]"));
  EXPECT_TRUE(Matches("[a^]", "^"));
  EXPECT_TRUE(Matches("[[]", "["));
}

TEST(GlobTest, BackslashMakesTheNextCharacterLiteral) {
  EXPECT_TRUE(Matches("\\*", "*"));
  EXPECT_FALSE(Matches("\\*", "a"));
  EXPECT_TRUE(Matches("\\d", "d"));
}

TEST(GlobTest, InvalidPatternIsRefusedWithThePattern) {
  EXPECT_THAT(Glob::Create("a[b"), StatusIs(kInvalidArgument, HasSubstr("\"a[b\"")));
  EXPECT_THAT(Glob::Create("a\\"), StatusIs(kInvalidArgument, HasSubstr("backslash")));
  EXPECT_THAT(Glob::Create("[z-a]"), StatusIs(kInvalidArgument));
  EXPECT_THAT(Glob::Create(std::string(2000, '*')), StatusIs(kInvalidArgument, HasSubstr("1024")));
  EXPECT_THAT(Glob::Create("\xff"), StatusIs(kInvalidArgument));
}

TEST(GlobTest, ErrorOfASetHasNoControlCharacters) {
  const absl::Status status = Glob::Create("[t-\x06]").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message().find('\x06'), absl::string_view::npos) << status;
}

TEST(GlobTest, PatternThatIsExponentialForFnmatchIsMatchedInLinearTime) {
  std::string pattern;
  for (int i = 0; i < 300; ++i) pattern += "*a";
  EXPECT_FALSE(Matches(pattern + "b", std::string(4000, 'a')));
}

}  // namespace
}  // namespace tensorferry
