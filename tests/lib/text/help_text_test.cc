// SPDX-License-Identifier: Apache-2.0
#include "lib/text/help_text.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tensorferry {
namespace {

TEST(WrapTextTest, LinesEndBetweenWordsBeforeColumn80) {
  EXPECT_EQ(WrapText("one two", 2), "  one two\n");
  const std::string word(38, 'x');
  EXPECT_EQ(WrapText(word + " " + word, 3), "   " + word + " " + word + "\n") << "exactly 80 columns";
  EXPECT_EQ(WrapText(word + " " + word, 4), "    " + word + "\n    " + word + "\n");
  EXPECT_EQ(WrapText(std::string(100, 'x'), 1), " " + std::string(100, 'x') + "\n") << "a word is not broken";
  EXPECT_EQ(WrapText("", 4), "\n");
}

TEST(ClosestNameTest, MisspellingsFindTheName) {
  const std::vector<std::string> names = {"max-streams", "max-stream-duration", "root"};
  EXPECT_EQ(ClosestName("max-stream", names), "max-streams");
  EXPECT_EQ(ClosestName("mx-streams", names), "max-streams");
  EXPECT_EQ(ClosestName("rot", names), "root");
  EXPECT_EQ(ClosestName("max-streams", names), "max-streams");
}

TEST(ClosestNameTest, OtherWordsFindNothing) {
  const std::vector<std::string> names = {"max-streams", "root"};
  EXPECT_EQ(ClosestName("verbose", names), std::nullopt);
  EXPECT_EQ(ClosestName(std::string(1 << 20, 'x'), names), std::nullopt);
  EXPECT_EQ(ClosestName("root", {}), std::nullopt);
}

}  // namespace
}  // namespace tensorferry
