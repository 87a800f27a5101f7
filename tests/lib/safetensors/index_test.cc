// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/safetensors/index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "lib/text/quote.h"
#include "tests/lib/safetensors/parse_file.h"
#include "tests/testing/random.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry::safetensors {
namespace {

using test::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::SizeIs;
using std::string_literals::operator""s;

// Returns an index whose weight_map has these members.
std::string Index(std::string_view members_json) {
  return R"({"metadata":{"total_size":6},"weight_map":{)" + std::string(members_json) + "}}";
}

std::string IndexOfFile(std::string_view file_json) { return Index(R"("a":")" + std::string(file_json) + '"'); }

TEST(ParseIndexTest, WeightMapIsOrderedByTensorName) {
  TF_ASSERT_OK_AND_ASSIGN(const WeightMap map,
                          ParseIndex(Index(R"("b":"2.safetensors","":"3.safetensors","a":"2.safetensors")")));
  EXPECT_THAT(map, ElementsAre(Pair("", "3.safetensors"), Pair("a", "2.safetensors"), Pair("b", "2.safetensors")));
}

TEST(ParseIndexTest, RealIndexIsParsed) {
  TF_ASSERT_OK_AND_ASSIGN(const WeightMap map, ParseIndex(R"({
  "metadata": {
    "total_size": 16060522496,
    "nested": [1, {"weight_map": 3}, null, -1.5]
  },
  "weight_map": {
    "lm_head.weight": "model-00004-of-00004.safetensors",
    "model.embed_tokens.weight": "model-00001-of-00004.safetensors"
  },
  "more": "text"
}
)"));
  EXPECT_THAT(map, ElementsAre(Pair("lm_head.weight", "model-00004-of-00004.safetensors"),
                               Pair("model.embed_tokens.weight", "model-00001-of-00004.safetensors")));
}

TEST(ParseIndexTest, EscapesAreDecoded) {
  TF_ASSERT_OK_AND_ASSIGN(const WeightMap map, ParseIndex(Index(R"("\u0061\n":"gr\u00f6\u00dfe.safetensors")")));
  EXPECT_THAT(map, ElementsAre(Pair("a\n", "größe.safetensors")));
}

TEST(ParseIndexTest, WeightMapBeforeMetadataIsParsed) {
  TF_ASSERT_OK_AND_ASSIGN(const WeightMap map,
                          ParseIndex(R"({"weight_map":{"a":"1.safetensors"},"metadata":{"x":["y"]},"z":1})"));
  EXPECT_THAT(map, ElementsAre(Pair("a", "1.safetensors")));
}

struct BadIndex {
  std::string name;
  std::string json;
  std::string reason;
  friend void PrintTo(const BadIndex& c, std::ostream* out) { *out << c.name; }
};

std::vector<BadIndex> BadIndexes() {
  return {
      {"Empty", "", "not a JSON object"},
      {"Array", "[]", "not a JSON object"},
      {"Null", "null", "not a JSON object"},
      {"EmptyObject", "{}", "weight_map"},
      {"OnlyMetadata", R"({"metadata":{}})", "weight_map"},
      {"WeightMapInsideMetadata", R"({"metadata":{"weight_map":{"a":"1.safetensors"}}})", "weight_map"},
      {"NullWeightMap", R"({"weight_map":null})", "weight_map is not an object"},
      {"ArrayWeightMap", R"({"weight_map":["1.safetensors"]})", "weight_map is not an object"},
      {"StringWeightMap", R"({"weight_map":"1.safetensors"})", "weight_map is not an object"},
      {"NumberWeightMap", R"({"weight_map":1})", "weight_map is not an object"},
      {"WeightMapTwice", R"({"weight_map":{"a":"1.safetensors"},"weight_map":{"a":"1.safetensors"}})", "duplicate key"},
      {"WeightMapTwiceInOtherSpelling", R"({"weight_map":{"a":"1.safetensors"},"weight\u005fmap":{}})",
       "duplicate key"},
      {"TopLevelKeyTwice", R"({"metadata":1,"metadata":1,"weight_map":{"a":"1.safetensors"}})", "duplicate key"},
      {"TensorTwice", Index(R"("a":"1.safetensors","a":"2.safetensors")"), "duplicate tensor \"a\""},
      {"TensorTwiceWithEqualFiles", Index(R"("a":"1.safetensors","a":"1.safetensors")"), "duplicate tensor \"a\""},
      {"TensorTwiceInOtherSpelling", Index(R"("a":"1.safetensors","\u0061":"1.safetensors")"), "duplicate tensor"},
      {"NumberValue", Index(R"("a":1)"), "tensor \"a\" is not a string"},
      {"NegativeValue", Index(R"("a":-1)"), "tensor \"a\" is not a string"},
      {"NullValue", Index(R"("a":null)"), "tensor \"a\" is not a string"},
      {"TrueValue", Index(R"("a":true)"), "tensor \"a\" is not a string"},
      {"ArrayValue", Index(R"("a":["1.safetensors"])"), "tensor \"a\" is not a string"},
      {"ObjectValue", Index(R"("a":{"b":"1.safetensors"})"), "tensor \"a\" is not a string"},
      {"AbsoluteFile", IndexOfFile("/etc/1.safetensors"), "folder"},
      {"FileAbove", IndexOfFile("../1.safetensors"), "folder"},
      {"FileInAFolder", IndexOfFile("x/1.safetensors"), "folder"},
      {"FileHereByALongerWay", IndexOfFile("./1.safetensors"), "folder"},
      {"FileAboveInOtherSpelling", IndexOfFile("\\u002e.\\/1.safetensors"), "folder"},
      {"FileWithAnEscapedSlash", IndexOfFile("x\\u002f1.safetensors"), "folder"},
      {"EmptyFile", IndexOfFile(""), ".safetensors"},
      {"Dot", IndexOfFile("."), ".safetensors"},
      {"DotDot", IndexOfFile(".."), ".safetensors"},
      {"OtherSuffix", IndexOfFile("model.bin"), ".safetensors"},
      {"SuffixInCapitals", IndexOfFile("1.SAFETENSORS"), ".safetensors"},
      {"SuffixCutByANul", IndexOfFile("config.json\\u0000.safetensors"), "NUL"},
      {"RawNul", Index("\"a\":\"1\0.safetensors\""s), "is 0"},
      {"BrokenByte", IndexOfFile("\xff.safetensors"), "not valid JSON"},
      {"LowSurrogate", IndexOfFile("\\udea2.safetensors"), "surrogate"},
      {"ByteOrderMark", "\xef\xbb\xbf" + IndexOfFile("1.safetensors"), "not a JSON object"},
      {"TrailingComma", Index(R"("a":"1.safetensors",)"), "not valid JSON"},
      {"TextAfter", IndexOfFile("1.safetensors") + "x", "not valid JSON"},
      {"NestedTooDeep", R"({"x":)" + std::string(64, '[') + std::string(64, ']') + "}", "limit of 64"},
      {"NestedAMillionTimes", R"({"x":)" + std::string(1'000'000, '['), "limit of 64"},
  };
}

class BadIndexTest : public ::testing::TestWithParam<BadIndex> {};

TEST_P(BadIndexTest, IsRefusedWithTheReason) {
  const absl::StatusOr<WeightMap> map = ParseIndex(GetParam().json);
  EXPECT_THAT(map, StatusIs(absl::StatusCode::kDataLoss, AllOf(HasSubstr("index"), HasSubstr(GetParam().reason))));
}

INSTANTIATE_TEST_SUITE_P(Index, BadIndexTest, ::testing::ValuesIn(BadIndexes()),
                         [](const auto& info) { return info.param.name; });

TEST(ParseIndexTest, IndexOverALimitIsRefused) {
  const std::string index = Index(R"("a":"1.safetensors","b":"1.safetensors")");
  TF_EXPECT_OK(
      ParseIndex(index, {.header_bytes = static_cast<std::int64_t>(index.size()), .tensors = 2, .nesting = 2}));
  EXPECT_THAT(ParseIndex(index, {.header_bytes = static_cast<std::int64_t>(index.size()) - 1}),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("limit")));
  EXPECT_THAT(ParseIndex(index, {.tensors = 1}), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("limit of 1")));
  EXPECT_THAT(ParseIndex(index, {.nesting = 1}), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("limit of 1")));
}

TEST(ParseIndexTest, EveryTruncationIsRefusedAndEveryFlippedBitIsRefusedOrKeepsTheInvariants) {
  const std::string index = Index(R"("a":"1.safetensors","\u0062\n":"2.safetensors","é":"größe.safetensors")");
  for (std::size_t size = 0; size < index.size(); ++size) {
    ASSERT_THAT(ParseIndex(index.substr(0, size)), StatusIs(absl::StatusCode::kDataLoss)) << size;
  }
  for (std::size_t i = 0; i < index.size() * 8; ++i) {
    std::string flipped = index;
    flipped[i / 8] = static_cast<char>(flipped[i / 8] ^ 1 << i % 8);
    const absl::StatusOr<WeightMap> map = ParseIndex(flipped);
    if (map.ok()) {
      ASSERT_EQ(test::BrokenInvariant(*map), "") << Escape(flipped);
    } else {
      ASSERT_THAT(map, StatusIs(absl::StatusCode::kDataLoss));
    }
  }
}

TEST(ParseIndexTest, RandomMutationsAreRefusedOrKeepTheInvariants) {
  test::Random random;
  const std::string index = Index(R"("a":"1.safetensors","b":"2.safetensors")");
  for (int i = 0; i < 20'000; ++i) {
    std::string mutated = index;
    for (std::int64_t edits = random.Between(1, 3); edits > 0; --edits) {
      const std::string piece = index.substr(random.Below(index.size()), random.Below(12));
      mutated.replace(random.Below(mutated.size() + 1), random.Below(12), piece);
    }
    const absl::StatusOr<WeightMap> map = ParseIndex(mutated);
    if (map.ok()) {
      ASSERT_EQ(test::BrokenInvariant(*map), "") << Escape(mutated);
    } else {
      ASSERT_THAT(map, StatusIs(absl::StatusCode::kDataLoss));
    }
  }
}

TEST(ParseIndexTest, ManyTensorsAreParsed) {
  std::string members;
  for (int i = 0; i < 50'000; ++i) {
    members += (i == 0 ? "\"" : ",\"") + std::to_string(i) + R"(":"1.safetensors")";
  }
  TF_ASSERT_OK_AND_ASSIGN(const WeightMap map, ParseIndex(Index(members)));
  EXPECT_THAT(map, SizeIs(50'000));
  EXPECT_EQ(test::BrokenInvariant(map), "");
}

}  // namespace
}  // namespace tensorferry::safetensors
