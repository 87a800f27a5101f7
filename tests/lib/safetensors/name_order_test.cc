// SPDX-License-Identifier: Apache-2.0
#include "lib/safetensors/name_order.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <vector>

#include "tests/testing/random.h"

namespace tensorferry::safetensors {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::uint32_t> OrderOf(const std::vector<std::string>& names) {
  const std::vector<std::string_view> views(names.begin(), names.end());
  return OrderOfNames(views);
}

std::vector<std::uint32_t> StablySorted(const std::vector<std::string>& names) {
  std::vector<std::uint32_t> order(names.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::stable_sort(order, {}, [&](std::uint32_t i) { return std::string_view(names[i]); });
  return order;
}

TEST(OrderOfNamesTest, NamesAreOrderedBytewiseAndEqualNamesKeepTheirOrder) {
  EXPECT_THAT(OrderOf({}), IsEmpty());
  EXPECT_THAT(OrderOf({"b"}), ElementsAre(0));
  EXPECT_THAT(OrderOf({"b", "a", "", "ab", "a", "\xff", "a.b"}), ElementsAre(2, 1, 4, 6, 3, 0, 5));
  // Names that end where the compared keys end.
  EXPECT_THAT(OrderOf({"12345678x", "12345678", "1234567", "12345678\x01", "1234567890123456", "123456789012345"}),
              ElementsAre(2, 1, 3, 5, 4, 0));
}

TEST(OrderOfNamesTest, RandomNamesAreOrderedAsByAStableSort) {
  test::Random random;
  const std::vector<std::string> pieces = {"",        "a", "b",  "model.layers.", "\x01", "\xff",
                                           ".weight", "0", "12", "12345678"};
  for (int i = 0; i < 3000; ++i) {
    std::vector<std::string> names(random.Below(40));
    for (std::string& name : names) {
      for (std::size_t count = random.Below(6); count > 0; --count) name += random.ElementOf(pieces);
    }
    ASSERT_EQ(OrderOf(names), StablySorted(names));
  }
}

}  // namespace
}  // namespace tensorferry::safetensors
