// SPDX-License-Identifier: Apache-2.0
#include "client/streaming_copy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

namespace tensorferry {
namespace {

using ::testing::Each;

constexpr std::byte kUntouched{0xA5};

// Bytes that differ from their neighbours and from those a line further.
std::vector<std::byte> Pattern(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>((i * 7 + i / 64) & 0x7F);
  return bytes;
}

TEST(StreamingCopyTest, EveryShortLengthAtEveryAlignmentCopiesJustThat) {
  const std::vector<std::byte> source = Pattern(400);
  std::vector<std::byte> target(source.size() + 64);
  for (std::size_t offset = 0; offset < 64; ++offset) {
    for (std::size_t size = 0; size <= 260; ++size) {
      std::ranges::fill(target, kUntouched);
      const auto wanted = std::span(source).subspan(offset / 3, size);
      StreamingCopy(wanted, std::span(target).subspan(offset, size));
      ASSERT_TRUE(std::ranges::equal(wanted, std::span(target).subspan(offset, size))) << offset << ", " << size;
      ASSERT_THAT(std::span(target).first(offset), Each(kUntouched)) << offset << ", " << size;
      ASSERT_THAT(std::span(target).subspan(offset + size), Each(kUntouched)) << offset << ", " << size;
    }
  }
}

TEST(StreamingCopyTest, LongRunCopiesAll) {
  const std::vector<std::byte> source = Pattern((std::size_t{3} << 20) + 5);
  std::vector<std::byte> target(source.size() + 1);
  StreamingCopy(source, std::span(target).subspan(1));
  EXPECT_TRUE(std::ranges::equal(source, std::span(target).subspan(1)));
}

}  // namespace
}  // namespace tensorferry
