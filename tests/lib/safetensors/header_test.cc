// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/safetensors/header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/text/quote.h"
#include "tests/lib/safetensors/header_cases.h"
#include "tests/lib/safetensors/parse_file.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry::safetensors {
namespace {

using test::EntryJson;
using test::HeaderCase;
using test::ParseFile;
using test::StatusIs;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::Eq;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::ResultOf;
using ::testing::StartsWith;

class HeaderVerdictTest : public ::testing::TestWithParam<HeaderCase> {};

TEST_P(HeaderVerdictTest, FileGetsItsVerdict) {
  const absl::StatusOr<Header> header = ParseFile(GetParam().file);
  if (GetParam().valid()) {
    TF_ASSERT_OK(header);
    EXPECT_EQ(test::BrokenInvariant(*header), "");
    return;
  }
  const auto blames_header = AnyOf(StartsWith("header"), StartsWith("not a safetensors file"));
  EXPECT_THAT(header, StatusIs(absl::StatusCode::kDataLoss, AllOf(blames_header, HasSubstr(GetParam().reason))));
  EXPECT_LT(test::MessageOf(header).size(), 1000U);
  EXPECT_TRUE(IsValidUtf8(test::MessageOf(header)));
  EXPECT_THAT(test::MessageOf(header), Each(ResultOf([](char c) { return c >= 0 && c < ' '; }, false)));
}

std::string NameOf(const ::testing::TestParamInfo<HeaderCase>& info) { return info.param.name; }

TEST(HeaderCasesTest, AreAsManyBadFilesOfEveryClassAsPromised) {
  std::size_t bad = 0;
  for (const auto& cases :
       {test::FramingCases(), test::EncodingCases(), test::JsonCases(), test::EntryCases(), test::NumberCases(),
        test::DtypeCases(), test::LayoutCases(), test::MetadataCases(), test::LimitCases()}) {
    const auto of_class = std::ranges::count_if(cases, [](const HeaderCase& c) { return !c.valid(); });
    EXPECT_GT(of_class, 0);
    bad += static_cast<std::size_t>(of_class);
  }
  EXPECT_GE(bad, 150U);
  RecordProperty("bad_files", static_cast<int>(bad));
}

INSTANTIATE_TEST_SUITE_P(Framing, HeaderVerdictTest, ::testing::ValuesIn(test::FramingCases()), NameOf);
INSTANTIATE_TEST_SUITE_P(Encoding, HeaderVerdictTest, ::testing::ValuesIn(test::EncodingCases()), NameOf);
INSTANTIATE_TEST_SUITE_P(Json, HeaderVerdictTest, ::testing::ValuesIn(test::JsonCases()), NameOf);
INSTANTIATE_TEST_SUITE_P(Entry, HeaderVerdictTest, ::testing::ValuesIn(test::EntryCases()), NameOf);
INSTANTIATE_TEST_SUITE_P(Number, HeaderVerdictTest, ::testing::ValuesIn(test::NumberCases()), NameOf);
INSTANTIATE_TEST_SUITE_P(Dtype, HeaderVerdictTest, ::testing::ValuesIn(test::DtypeCases()), NameOf);
INSTANTIATE_TEST_SUITE_P(Layout, HeaderVerdictTest, ::testing::ValuesIn(test::LayoutCases()), NameOf);
INSTANTIATE_TEST_SUITE_P(Metadata, HeaderVerdictTest, ::testing::ValuesIn(test::MetadataCases()), NameOf);
INSTANTIATE_TEST_SUITE_P(Limit, HeaderVerdictTest, ::testing::ValuesIn(test::LimitCases()), NameOf);

std::vector<std::string> NamesInOrder(const Header& header) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < header.tensor_count(); ++i) names.emplace_back(header.tensor(i).name);
  return names;
}

std::vector<std::string> NamesByOffset(const Header& header) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < header.tensor_count(); ++i) names.emplace_back(header.tensor_by_offset(i).name);
  return names;
}

TEST(HeaderTest, TensorsAreThereByNameAndByOffset) {
  TF_ASSERT_OK_AND_ASSIGN(
      const Header header,
      ParseFile(test::ValidFile({{"b", Dtype::kF32, {2, 3}}, {"c", Dtype::kU8, {}}, {"a", Dtype::kF4, {4, 1}}})));
  EXPECT_THAT(NamesInOrder(header), ElementsAre("a", "b", "c"));
  EXPECT_THAT(NamesByOffset(header), ElementsAre("b", "c", "a"));
  EXPECT_EQ(header.data_size_bytes(), 27);
  const TensorView b = header.tensor(1);
  EXPECT_EQ(b.dtype, Dtype::kF32);
  EXPECT_THAT(b.shape, ElementsAre(2, 3));
  EXPECT_EQ(b.begin, 0);
  EXPECT_EQ(b.end, 24);
  EXPECT_EQ(b.size_bytes(), 24);
  EXPECT_THAT(header.tensor(2).shape, IsEmpty());
  EXPECT_EQ(header.tensor(0).begin, 25);
}

TEST(HeaderTest, NamesAreOrderedByTheirBytes) {
  TF_ASSERT_OK_AND_ASSIGN(const Header header, ParseFile(test::FileOfTensors({"é", "z", "", "aa", "a", "B", "🚢"})));
  EXPECT_THAT(NamesInOrder(header), ElementsAre("", "B", "a", "aa", "z", "é", "🚢"));
}

TEST(HeaderTest, FindGivesThePlaceOfANameAndNothingForOthers) {
  TF_ASSERT_OK_AND_ASSIGN(const Header header, ParseFile(test::FileOfTensors({"b", "d"})));
  EXPECT_THAT(header.Find("b"), Eq(0U));
  EXPECT_THAT(header.Find("d"), Eq(1U));
  for (const std::string_view name : {"", "a", "c", "e", "bb", "D"}) EXPECT_THAT(header.Find(name), Eq(std::nullopt));
}

TEST(HeaderTest, FindInAnEmptyHeaderGivesNothing) {
  TF_ASSERT_OK_AND_ASSIGN(const Header header, Header::Parse("{}", 0));
  EXPECT_EQ(header.tensor_count(), 0U);
  EXPECT_THAT(header.Find(""), Eq(std::nullopt));
  EXPECT_THAT(header.metadata(), IsEmpty());
}

TEST(HeaderTest, EscapedNamesAreUnescaped) {
  TF_ASSERT_OK_AND_ASSIGN(const Header header,
                          Header::Parse("{" + EntryJson(R"(\u0061\ud83d\udea2\n\/)", "U8", "1", 0, 1) + "}", 1));
  EXPECT_EQ(header.tensor(0).name, "a🚢\n/");
}

TEST(HeaderTest, MetadataIsKeptAndNullIsAsIfAbsent) {
  TF_ASSERT_OK_AND_ASSIGN(const Header header, Header::Parse(R"({"__metadata__":{"format":"pt","é\n":""}})", 0));
  EXPECT_THAT(header.metadata(), ElementsAre(Pair("format", "pt"), Pair("é\n", "")));
  TF_ASSERT_OK_AND_ASSIGN(const Header null, Header::Parse(R"({"__metadata__":null})", 0));
  EXPECT_THAT(null.metadata(), IsEmpty());
  EXPECT_EQ(null.tensor_count(), 0U);
}

TEST(HeaderTest, MovedHeaderKeepsItsTensors) {
  TF_ASSERT_OK_AND_ASSIGN(Header header, ParseFile(test::FileOfTensors({"a", "b"})));
  const Header moved = std::move(header);
  EXPECT_EQ(test::BrokenInvariant(moved), "");
  EXPECT_THAT(NamesInOrder(moved), ElementsAre("a", "b"));
}

TEST(HeaderTest, TensorOfManyTerabytesIsAccepted) {
  const std::int64_t size = std::int64_t{1} << 45;
  TF_ASSERT_OK_AND_ASSIGN(const Header header,
                          Header::Parse("{" + EntryJson("a", "F64", std::to_string(size / 8), 0, size) + "}", size));
  EXPECT_EQ(header.tensor(0).size_bytes(), size);
}

TEST(HeaderTest, ManyTensorsInRandomPlacesAreAccepted) {
  std::vector<test::TensorSpec> tensors;
  for (int i = 0; i < 20'000; ++i) tensors.push_back({std::to_string(i * 7919 % 20'000), Dtype::kU8, {i % 3}});
  TF_ASSERT_OK_AND_ASSIGN(const Header header, ParseFile(test::ValidFile(tensors)));
  EXPECT_EQ(header.tensor_count(), 20'000U);
  EXPECT_EQ(test::BrokenInvariant(header), "");
}

TEST(HeaderLimitsTest, WhatIsAtALimitIsTakenAndWhatIsOverItIsRefusedWithTheLimit) {
  const std::string file = test::ValidFile({{"abc", Dtype::kU8, {1, 1, 1}}, {"d", Dtype::kU8, {}}});
  const std::int64_t header_bytes = static_cast<std::int64_t>(file.size()) - 8 - 2;
  const Limits exact = {.header_bytes = header_bytes, .tensors = 2, .rank = 3, .name_bytes = 3, .nesting = 3};
  TF_EXPECT_OK(ParseFile(file, exact));
  const auto refused = [&](Limits limits, std::string_view limit) {
    EXPECT_THAT(ParseFile(file, limits), StatusIs(absl::StatusCode::kDataLoss, HasSubstr(std::string(limit))));
  };
  Limits limits = exact;
  --limits.header_bytes;
  refused(limits, std::to_string(header_bytes - 1));
  limits = exact;
  --limits.tensors;
  refused(limits, "limit of 1");
  limits = exact;
  --limits.rank;
  refused(limits, "limit of 2");
  limits = exact;
  --limits.name_bytes;
  refused(limits, "limit is 2");
  limits = exact;
  --limits.nesting;
  refused(limits, "limit of 2");
}

TEST(HeaderLimitsTest, RankAbove255IsKeptWhereTheLimitAllowsIt) {
  std::string shape = "1";
  for (int i = 1; i < 300; ++i) shape += ",1";
  const absl::StatusOr<Header> header = Header::Parse("{" + EntryJson("a", "U8", shape, 0, 1) + "}", 1, {.rank = 1000});
  TF_ASSERT_OK(header);
  EXPECT_EQ(header->tensor(0).shape.size(), 300U);
}

std::array<std::byte, 8> Prefix(std::uint64_t size) {
  std::array<std::byte, 8> prefix{};
  for (std::size_t i = 0; i < 8; ++i) prefix[i] = static_cast<std::byte>(size >> (8 * i) & 0xFF);
  return prefix;
}

TEST(ParseHeaderSizeTest, SizeIsLittleEndianAndMustFitTheFile) {
  TF_ASSERT_OK_AND_ASSIGN(const std::int64_t size, ParseHeaderSize(Prefix(0x1234), 0x1234 + 8));
  EXPECT_EQ(size, 0x1234);
  EXPECT_THAT(ParseHeaderSize(Prefix(0x1234), 0x1234 + 7), StatusIs(absl::StatusCode::kDataLoss));
}

TEST(ParseHeaderSizeTest, FileShorterThanThePrefixIsRefusedWhateverThePrefixSays) {
  for (std::int64_t file_size = 0; file_size < 8; ++file_size) {
    EXPECT_THAT(ParseHeaderSize(Prefix(0), file_size), StatusIs(absl::StatusCode::kDataLoss));
  }
}

TEST(ParseHeaderSizeTest, SizesNearTheEndOfTheirTypeDoNotWrap) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  const Limits unlimited = {.header_bytes = kMax};
  for (const std::uint64_t size : {~0ULL, ~0ULL - 7, ~0ULL - 8, 1ULL << 63, (1ULL << 63) - 1, (1ULL << 63) - 8}) {
    EXPECT_THAT(ParseHeaderSize(Prefix(size), 100, unlimited), StatusIs(absl::StatusCode::kDataLoss)) << size;
  }
  EXPECT_THAT(ParseHeaderSize(Prefix((1ULL << 63) - 8), kMax, unlimited), StatusIs(absl::StatusCode::kDataLoss));
  TF_EXPECT_OK(ParseHeaderSize(Prefix((1ULL << 63) - 9), kMax, unlimited));
}

}  // namespace
}  // namespace tensorferry::safetensors
