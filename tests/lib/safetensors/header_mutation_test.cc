// SPDX-License-Identifier: Apache-2.0
// Files that are nearly valid: whatever is changed in them, they are refused or keep every promise of a header.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/text/quote.h"
#include "tensorferry/safetensors/header.h"
#include "tests/lib/safetensors/parse_file.h"
#include "tests/testing/random.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry::safetensors {
namespace {

std::vector<std::string> SeedFiles() {
  std::vector<test::TensorSpec> all_dtypes;
  for (const Dtype dtype : AllDtypes()) all_dtypes.push_back({std::string(DtypeName(dtype)), dtype, {2, 4}});
  std::vector<std::string> seeds = {
      test::ValidFile(
          {{"model.embed.weight", Dtype::kBf16, {7, 3}}, {"bias", Dtype::kF32, {5}}, {"s", Dtype::kI64, {}}},
          R"({"format":"pt","name":"größe \u00e9 \ud83d\udea2"})"),
      test::ValidFile(all_dtypes),
      test::ValidFile({{"z0", Dtype::kU8, {0}}, {"a", Dtype::kF4, {3, 2}}, {"z1", Dtype::kF64, {4, 0}}}, "null"),
      test::SafetensorsBytes(" \n{ \"__metadata__\" : { } , \"t\" : { \"x\" : [ null , { \"y\" : -1.5e3 } , true ] ,"
                             "\"data_offsets\" : [ 0 , 12 ] , \"shape\" : [ 1 , 12 ] , \"dtype\" : \"I8\" } }  \t",
                             "0123456789ab"),
      test::SafetensorsBytes("{}"),
  };
  // Headers that one of the two readers accepts. The other must agree.
  seeds.push_back(test::ValidFile(
      {{"plain.weight", Dtype::kBf16, {7, 3}}, {"plain.bias", Dtype::kF32, {5}}, {"s", Dtype::kI64, {}}},
      R"({"format":"pt"})"));
  std::vector<test::TensorSpec> many;
  for (int i = 0; i < 24; ++i) {
    many.push_back({"layers." + std::to_string(i) + ".w", i % 2 == 0 ? Dtype::kF16 : Dtype::kF6E2M3, {i % 3, 4}});
  }
  seeds.push_back(test::ValidFile(many, R"({"a":"1","b":"2"})"));
  return seeds;
}

std::size_t HeaderEnd(const std::string& file) {
  std::size_t size = 0;
  for (std::size_t i = 8; i-- > 0;) size = size << 8 | static_cast<std::uint8_t>(file[i]);
  return 8 + size;
}

class HeaderMutationTest : public ::testing::Test {
 protected:
  // Refused with DATA_LOSS, or accepted and sound.
  void Try(std::string_view file) {
    ++tried_;
    ASSERT_EQ(test::ReadersDiffer(file), "") << Escape(file);
    const absl::StatusOr<Header> header = test::ParseFile(file);
    if (header.ok()) {
      ++accepted_;
      ASSERT_EQ(test::BrokenInvariant(*header), "") << Escape(file);
    } else if (header.status().code() != absl::StatusCode::kDataLoss || header.status().message().empty()) {
      FAIL() << header.status() << ' ' << Escape(file);
    }
  }

  std::int64_t tried_ = 0;
  std::int64_t accepted_ = 0;
};

TEST_F(HeaderMutationTest, EveryTruncationIsRefused) {
  for (const std::string& seed : SeedFiles()) {
    for (std::size_t size = 0; size < seed.size(); ++size) {
      Try(std::string_view(seed).substr(0, size));
      ASSERT_EQ(accepted_, 0) << "cut at " << size << " of " << seed.size();
    }
  }
}

TEST_F(HeaderMutationTest, EveryTruncationOfTheHeaderWithALengthThatFitsIsRefused) {
  for (const std::string& seed : SeedFiles()) {
    const std::string_view header = std::string_view(seed).substr(8, HeaderEnd(seed) - 8);
    const std::size_t object_end = header.rfind('}') + 1;
    for (std::size_t size = 0; size < object_end; ++size) {
      Try(test::SafetensorsBytes(header.substr(0, size), std::string_view(seed).substr(HeaderEnd(seed))));
      ASSERT_EQ(accepted_, 0) << "cut at " << size;
    }
  }
}

TEST_F(HeaderMutationTest, EveryFlippedBitOfPrefixAndHeaderIsRefusedOrSound) {
  for (std::string seed : SeedFiles()) {
    for (std::size_t i = 0; i < HeaderEnd(seed); ++i) {
      for (int bit = 0; bit < 8; ++bit) {
        std::string file = seed;
        file[i] = static_cast<char>(file[i] ^ 1 << bit);
        Try(file);
        if (HasFatalFailure()) return;
      }
    }
  }
  EXPECT_GT(tried_, 20'000);
}

TEST_F(HeaderMutationTest, EveryByteOfTheHeaderAsEachCharacterOfJsonIsRefusedOrSound) {
  for (const std::string& seed : SeedFiles()) {
    for (std::size_t i = 8; i < HeaderEnd(seed); ++i) {
      for (const char c : std::string_view("\0{}[]\",:\\-0919.eE \n\xff\xed", 22)) {
        std::string file = seed;
        file[i] = c;
        Try(file);
        if (HasFatalFailure()) return;
      }
    }
  }
  EXPECT_GT(tried_, 50'000);
}

TEST_F(HeaderMutationTest, EveryByteOfTheHeaderLeftOutOrDoubledIsRefusedOrSound) {
  for (const std::string& seed : SeedFiles()) {
    const std::string header = seed.substr(8, HeaderEnd(seed) - 8);
    const std::string data = seed.substr(HeaderEnd(seed));
    for (std::size_t i = 0; i < header.size(); ++i) {
      Try(test::SafetensorsBytes(header.substr(0, i) + header.substr(i + 1), data));
      Try(test::SafetensorsBytes(header.substr(0, i) + header.substr(i, 1) + header.substr(i), data));
      if (HasFatalFailure()) return;
    }
  }
}

TEST_F(HeaderMutationTest, RandomPiecesPutTogetherAreRefusedOrSound) {
  test::Random random;
  const std::vector<std::string> seeds = SeedFiles();
  for (int i = 0; i < 50'000; ++i) {
    const std::string& seed = random.ElementOf(seeds);
    std::string header = seed.substr(8, HeaderEnd(seed) - 8);
    for (std::int64_t edits = random.Between(1, 4); edits > 0; --edits) {
      const std::string& other = random.ElementOf(seeds);
      const std::size_t from = random.Below(other.size());
      const std::size_t at = random.Below(header.size() + 1);
      const std::string piece = other.substr(from, random.Below(24));
      header.replace(at, random.OneIn(2) ? piece.size() : random.Below(24), piece);
    }
    Try(test::SafetensorsBytes(header, std::string_view(seed).substr(HeaderEnd(seed))));
    if (HasFatalFailure()) return;
  }
}

TEST_F(HeaderMutationTest, NumbersChangedAtRandomAreRefusedOrSound) {
  test::Random random;
  const std::vector<std::string> numbers = {"0",
                                            "1",
                                            "2",
                                            "3",
                                            "4",
                                            "8",
                                            "12",
                                            "16",
                                            "24",
                                            "-1",
                                            "1.0",
                                            "1e1",
                                            "-0",
                                            "4294967296",
                                            "9223372036854775807",
                                            "9223372036854775808",
                                            "18446744073709551615",
                                            "18446744073709551616",
                                            "2305843009213693952"};
  const auto number = [&] { return random.ElementOf(numbers); };
  for (int i = 0; i < 50'000; ++i) {
    std::string header = "{";
    std::int64_t offset = 0;
    for (std::int64_t tensors = random.Between(1, 3); tensors > 0; --tensors) {
      // Half of the tensors are as they should be.
      const bool right = random.OneIn(2);
      const std::int64_t size = random.Between(0, 9);
      if (header.size() > 1) header += ',';
      header += '"' + std::to_string(tensors) + R"(":{"dtype":")";
      header += DtypeName(right ? Dtype::kU8 : random.ElementOf(AllDtypes()));
      header += R"(","shape":[)" + (right ? std::to_string(size) : number() + ',' + number()) + R"(],"data_offsets":[)";
      header += right ? std::to_string(offset) + ',' + std::to_string(offset + size) : number() + ',' + number();
      header += "]}";
      offset += size;
    }
    Try(test::SafetensorsBytes(header + '}', std::string(static_cast<std::size_t>(offset), 'x')));
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(accepted_, 0) << "the random headers are never valid";
}

}  // namespace
}  // namespace tensorferry::safetensors
