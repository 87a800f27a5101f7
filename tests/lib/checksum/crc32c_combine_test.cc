// SPDX-License-Identifier: Apache-2.0
#include "lib/checksum/crc32c_combine.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

#include "lib/checksum/crc32c.h"
#include "tests/testing/random.h"
#include "tests/testing/safetensors_bytes.h"

namespace tensorferry {
namespace {

std::uint32_t Crc(std::string_view data) { return Crc32c(test::AsBytes(data)); }

// Compares both functions with the checksums of the bytes themselves.
void ExpectSplit(std::string_view data, std::size_t cut) {
  const std::uint32_t first = Crc(data.substr(0, cut));
  const std::uint32_t second = Crc(data.substr(cut));
  const auto second_size = static_cast<std::int64_t>(data.size() - cut);
  ASSERT_EQ(Crc32cCombine(first, second, second_size), Crc(data)) << data.size() << " bytes cut at " << cut;
  ASSERT_EQ(Crc32cWithoutPrefix(Crc(data), first, second_size), second) << data.size() << " bytes cut at " << cut;
}

TEST(Crc32cCombineTest, EveryCutOfAShortTextGivesTheChecksumOfTheWhole) {
  test::Random random;
  const std::string data = random.Bytes(300);
  for (std::size_t size = 0; size <= data.size(); size += 1 + size / 3) {
    for (std::size_t cut = 0; cut <= size; ++cut) ExpectSplit(std::string_view(data).substr(0, size), cut);
  }
}

TEST(Crc32cCombineTest, PartOfSizeZeroChangesNothing) {
  test::Random random;
  const std::uint32_t crc = Crc(random.Bytes(100));
  EXPECT_EQ(Crc32cCombine(crc, Crc(""), 0), crc);
  EXPECT_EQ(Crc32cCombine(Crc(""), crc, 100), crc);
  EXPECT_EQ(Crc32cCombine(Crc(""), Crc(""), 0), Crc(""));
  EXPECT_EQ(Crc32cWithoutPrefix(crc, crc, 0), Crc(""));
  EXPECT_EQ(Crc32cWithoutPrefix(crc, Crc(""), 100), crc);
}

TEST(Crc32cCombineTest, PartsOfOneByteAndOfOneMiBGiveTheChecksumOfTheWhole) {
  test::Random random;
  const std::string data = random.Bytes((1 << 20) + 1);
  ExpectSplit(data, 1);
  ExpectSplit(data, data.size() - 1);
  ExpectSplit(std::string_view(data).substr(1), 0);
  ExpectSplit(std::string(std::size_t{2} << 20, '\0'), std::size_t{1} << 20);
  ExpectSplit(std::string(std::size_t{2} << 20, '\xFF'), std::size_t{1} << 20);
}

TEST(Crc32cCombineTest, RandomSplitsOfRandomSizesGiveTheChecksumOfTheWhole) {
  test::Random random;
  const std::string data = random.Bytes(3 << 20);
  for (int i = 0; i < 500; ++i) {
    const std::size_t begin = random.Below(data.size());
    const std::string_view part = std::string_view(data).substr(begin, random.Below(data.size() - begin) + 1);
    ExpectSplit(part, random.Below(part.size() + 1));
  }
}

TEST(Crc32cCombineTest, ManyPartsInAnyGroupingGiveTheSame) {
  test::Random random;
  for (int round = 0; round < 100; ++round) {
    std::string data;
    std::uint32_t from_front = 0;
    for (std::int64_t parts = random.Between(1, 20); parts > 0; --parts) {
      const std::string part = random.Bytes(random.Below(5000));
      from_front = Crc32cCombine(from_front, Crc(part), static_cast<std::int64_t>(part.size()));
      data += part;
    }
    ASSERT_EQ(from_front, Crc(data));
  }
}

// Sizes too large for a test with bytes. Compares with laws that hold for every size.
TEST(Crc32cCombineTest, LargeSizesObeyTheLaws) {
  test::Random random;
  constexpr std::int64_t kLarge = std::int64_t{1} << 33;
  const auto any = [&] { return static_cast<std::uint32_t>(random.Between(0, 0xFFFFFFFF)); };
  for (int i = 0; i < 1000; ++i) {
    const std::uint32_t a = any();
    const std::uint32_t b = any();
    const std::uint32_t c = any();
    const std::int64_t b_size = random.OneOf({kLarge, kLarge - 1, random.Between(0, kLarge), random.Between(0, 1000)});
    const std::int64_t c_size = random.OneOf({kLarge, kLarge + 5, random.Between(0, kLarge), random.Between(0, 1000)});
    ASSERT_EQ(Crc32cCombine(Crc32cCombine(a, b, b_size), c, c_size),
              Crc32cCombine(a, Crc32cCombine(b, c, c_size), b_size + c_size))
        << b_size << " " << c_size;
    ASSERT_EQ(Crc32cWithoutPrefix(Crc32cCombine(a, b, b_size), a, b_size), b) << b_size;
    // Castagnoli's polynomial has the period 2^31 - 1. 2^33 bytes are 2^36 bits, which shift like 2^5 bits.
    ASSERT_EQ(Crc32cCombine(a, b, kLarge), Crc32cCombine(a, b, 4));
  }
  // Doubling zeros repeatedly gives the checksum of 2^33 zeros.
  std::uint32_t zeros = Crc(std::string(1, '\0'));
  for (std::int64_t size = 1; size < kLarge; size *= 2) zeros = Crc32cCombine(zeros, zeros, size);
  const std::uint32_t head = Crc(std::string(1000, '\0'));
  const std::uint32_t tail = Crc32cWithoutPrefix(zeros, head, kLarge - 1000);
  EXPECT_EQ(Crc32cCombine(tail, head, 1000), zeros) << "zeros and zeros commute";
}

TEST(Crc32cCombineTest, CombinationWithABlockIsFast) {
  constexpr int kRounds = 100'000;
  std::uint32_t crc = 1;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < kRounds; ++i) crc = Crc32cCombine(crc, static_cast<std::uint32_t>(i), 1 << 20);
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
  std::printf("one combination with a MiB: %.0f ns (%08x)\n", took.count() / kRounds, crc);
  // A generous limit, because of sanitizers and other programs that run at the same time.
  EXPECT_LT(took.count() / kRounds, 20'000);
}

}  // namespace
}  // namespace tensorferry
