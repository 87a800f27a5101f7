// SPDX-License-Identifier: Apache-2.0
#include "lib/checksum/memcpy_crc32c.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <vector>

#include "lib/checksum/crc32c.h"

namespace tensorferry {
namespace {

constexpr std::byte kUntouched{0xA5};

// Returns bytes that differ from their neighbours and from those one cache line further.
std::vector<std::byte> Pattern(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>((i * 7 + i / 64) & 0x7F);
  return bytes;
}

class MemcpyCrc32cTest : public ::testing::TestWithParam<decltype(&MemcpyCrc32c)> {
 protected:
  // Copies to every alignment of the destination, from a third as many of the source. The bytes around must not change.
  void ExpectCopies(std::size_t size) {
    for (std::size_t offset = 0; offset < 64; ++offset) {
      const std::span<const std::byte> wanted = std::span(source_).subspan(offset / 3, size);
      const std::span<std::byte> area = std::span(target_).first(offset + size + 70);
      std::ranges::fill(area, kUntouched);
      const auto crc = static_cast<std::uint32_t>(size * 0x9E3779B9 + offset);
      ASSERT_EQ(GetParam()(wanted, area.subspan(offset), crc), Crc32c(wanted, crc)) << offset << ", " << size;
      ASSERT_TRUE(std::ranges::equal(wanted, area.subspan(offset, size))) << offset << ", " << size;
      const auto untouched = [](std::byte byte) { return byte == kUntouched; };
      ASSERT_TRUE(std::ranges::all_of(area.first(offset), untouched)) << offset << ", " << size;
      ASSERT_TRUE(std::ranges::all_of(area.subspan(offset + size), untouched)) << offset << ", " << size;
    }
  }

  const std::vector<std::byte> source_ = Pattern(100'000);
  std::vector<std::byte> target_ = std::vector<std::byte>(200'000);
};

TEST_P(MemcpyCrc32cTest, ShortRunIsCopiedExactly) {
  for (std::size_t size = 0; size <= 260; ++size) ExpectCopies(size);
}

TEST_P(MemcpyCrc32cTest, RunOfAboutWholeBlocksIsCopiedExactly) {
  for (const auto blocks : std::initializer_list<std::size_t>{1, 2, 21}) {
    for (const auto more : std::initializer_list<std::size_t>{0, 1, 7, 8, 63, 64, 65, 127, 1024, 3071}) {
      ExpectCopies(blocks * 3072 + more);
    }
    ExpectCopies(blocks * 3072 - 1);
  }
}

TEST_P(MemcpyCrc32cTest, PiecesHaveTheChecksumOfTheWhole) {
  std::uint32_t crc = 0;
  std::size_t done = 0;
  for (std::size_t size = 1; done < source_.size(); size = size * 5 + 3) {
    const auto piece = std::span(source_).subspan(done, std::min(size, source_.size() - done));
    crc = GetParam()(piece, std::span(target_).subspan(done), crc);
    done += piece.size();
  }
  EXPECT_EQ(crc, Crc32c(source_));
  EXPECT_TRUE(std::ranges::equal(source_, std::span(target_).first(source_.size())));
}

INSTANTIATE_TEST_SUITE_P(Variants, MemcpyCrc32cTest, ::testing::Values(&MemcpyCrc32c, &StreamingMemcpyCrc32c),
                         [](const auto& info) { return info.index == 0 ? "Cached" : "Streaming"; });

}  // namespace
}  // namespace tensorferry
