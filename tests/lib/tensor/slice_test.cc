// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/slice.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tensorferry/slice_plan.h"
#include "tests/testing/random.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry {
namespace {

using test::StatusIs;
using ::testing::HasSubstr;

constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

SliceSpec Spec(std::vector<DimensionSlice> dimensions) { return {std::move(dimensions)}; }

TEST(SliceSpecParseTest, NumpyNotationIsParsed) {
  const std::vector<std::pair<std::string_view, SliceSpec>> cases = {
      {"[0:128, :, -1]", Spec({Range{0, 128, 1}, Range{}, Index{-1}})},
      {"3", Spec({Index{3}})},
      {"-3", Spec({Index{-3}})},
      {"+3", Spec({Index{3}})},
      {"0", Spec({Index{0}})},
      {"::2", Spec({Range{{}, {}, 2}})},
      {":", Spec({Range{}})},
      {"::", Spec({Range{}})},
      {"1:", Spec({Range{1, {}, 1}})},
      {":1", Spec({Range{{}, 1, 1}})},
      {"1::", Spec({Range{1, {}, 1}})},
      {":1:", Spec({Range{{}, 1, 1}})},
      {"-5:-1:3", Spec({Range{-5, -1, 3}})},
      {"[1,2,3]", Spec({Index{1}, Index{2}, Index{3}})},
      {"1,2,3", Spec({Index{1}, Index{2}, Index{3}})},
      {"[ 1 : 2 : 3 , 4 ]", Spec({Range{1, 2, 3}, Index{4}})},
      {"  [1]  ", Spec({Index{1}})},
      {"[]", Spec({})},
      {"[ ]", Spec({})},
      {"", Spec({})},
      {"9223372036854775807", Spec({Index{kMax}})},
      {"-9223372036854775808:9223372036854775807", Spec({Range{kMin, kMax, 1}})},
      {"007", Spec({Index{7}})},
  };
  for (const auto& [text, spec] : cases) {
    SCOPED_TRACE(text);
    TF_ASSERT_OK_AND_ASSIGN(const SliceSpec parsed, SliceSpec::Parse(text));
    EXPECT_EQ(parsed, spec);
  }
}

TEST(SliceSpecParseTest, EntryThatIsNeitherIntegerNorRangeIsRefused) {
  for (const std::string_view text : {"x",
                                      "[x]",
                                      "1.0",
                                      "1e3",
                                      "0x10",
                                      "1:2:3:4",
                                      "1:x",
                                      "x:1",
                                      "1:2:x",
                                      "--1",
                                      "+-1",
                                      "++1",
                                      "- 1",
                                      "1 2",
                                      "1,,2",
                                      ",",
                                      ",1",
                                      "[,]",
                                      "[[1]]",
                                      "(1)",
                                      "...",
                                      "None",
                                      "True",
                                      "1;2",
                                      "9223372036854775808",
                                      "-9223372036854775809",
                                      "0:9223372036854775808",
                                      "::99999999999999999999",
                                      "1_000",
                                      "1:-"}) {
    EXPECT_THAT(SliceSpec::Parse(text), StatusIs(absl::StatusCode::kInvalidArgument)) << '"' << text << '"';
  }
}

TEST(SliceSpecParseTest, BracketsThatDoNotMatchAreRefused) {
  for (const std::string_view text : {"[", "]", "[1", "1]", "[1:2", "][", "[]]", "[1][2]"}) {
    EXPECT_THAT(SliceSpec::Parse(text), StatusIs(absl::StatusCode::kInvalidArgument)) << '"' << text << '"';
  }
}

TEST(SliceSpecParseTest, ErrorNamesTheEntry) {
  EXPECT_THAT(SliceSpec::Parse("[0:2, rows, 3]"), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"rows\"")));
}

TEST(SliceSpecParseTest, NulAndControlBytesAreRefusedAndEscapedInTheMessage) {
  const auto parsed = SliceSpec::Parse(std::string_view("1\0", 2));
  EXPECT_THAT(parsed, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(test::MessageOf(parsed).find('\0'), std::string::npos);
  const auto escape = SliceSpec::Parse("\x1b[31m");
  EXPECT_THAT(escape, StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_EQ(test::MessageOf(escape).find('\x1b'), std::string::npos);
}

TEST(SliceSpecParseTest, RandomTextIsParsedOrRefused) {
  test::Random random;
  constexpr std::string_view kAlphabet = "0123456789:::,,,--+[] x\n";
  for (int i = 0; i < 50'000; ++i) {
    std::string text;
    for (std::int64_t size = random.Between(0, 12); size > 0; --size) text += random.ElementOf(kAlphabet);
    const auto parsed = SliceSpec::Parse(text);
    if (!parsed.ok()) continue;
    const auto again = SliceSpec::Parse(parsed->ToString());
    ASSERT_THAT(again, test::IsOk()) << '"' << text << '"';
    ASSERT_EQ(*again, *parsed) << '"' << text << '"';
  }
}

TEST(SliceSpecToStringTest, NotationIsThatOfParse) {
  EXPECT_EQ(Spec({}).ToString(), "[]");
  EXPECT_EQ(Spec({Index{-1}}).ToString(), "[-1]");
  EXPECT_EQ(Spec({Range{}}).ToString(), "[:]");
  EXPECT_EQ(Spec({Range{0, 128, 1}, Range{}, Index{-1}, Range{{}, {}, 2}}).ToString(), "[0:128, :, -1, ::2]");
}

TEST(SliceSpecToStringTest, RandomSpecsAreParsedFromTheirText) {
  test::Random random;
  const auto integer = [&] {
    return random.OneIn(4) ? random.OneOf({kMin, kMax, 0, -1, 1}) : random.Between(-300, 300);
  };
  for (int i = 0; i < 20'000; ++i) {
    SliceSpec spec;
    for (std::int64_t rank = random.Between(0, 6); rank > 0; --rank) {
      if (random.OneIn(3)) {
        spec.dimensions.push_back(Index{integer()});
        continue;
      }
      Range range;
      if (random.OneIn(2)) range.start = integer();
      if (random.OneIn(2)) range.stop = integer();
      if (random.OneIn(2)) range.step = integer();
      spec.dimensions.push_back(range);
    }
    TF_ASSERT_OK_AND_ASSIGN(const SliceSpec parsed, SliceSpec::Parse(spec.ToString()));
    ASSERT_EQ(parsed, spec) << spec.ToString();
  }
}

TEST(ShardTest, DividesAsTorchChunkDoes) {
  const std::vector<std::int64_t> shape = {3, 7};
  EXPECT_EQ(Shard(shape, 1, 0, 3).ToString(), "[:, 0:3]");
  EXPECT_EQ(Shard(shape, -1, 2, 3).ToString(), "[:, 6:7]");
  EXPECT_EQ(Shard(shape, 0, 1, 2).ToString(), "[2:3]");
  EXPECT_EQ(Shard(shape, 0, 3, 4).ToString(), "[3:3]") << "a part after the end is empty";
}

TEST(ShardTest, ImpossibleRankOrDimensionIsRefusedByName) {
  const std::vector<std::int64_t> shape = {3, 7};
  for (const auto& [rank, world_size] : {std::pair(4, 4), {-1, 2}, {0, 0}, {0, -1}}) {
    const auto text = fmt::format("rank {} of world_size {}", rank, world_size);
    EXPECT_THAT(SlicePlan::Create(Shard(shape, 0, rank, world_size), Dtype::kU8, shape),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(text)));
  }
  for (const int dimension : {-3, 2}) {
    EXPECT_THAT(SlicePlan::Create(Shard(shape, dimension, 0, 2), Dtype::kU8, shape),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(fmt::format("dimension {} of a tensor with 2", dimension))));
  }
}

}  // namespace
}  // namespace tensorferry
