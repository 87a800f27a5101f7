// SPDX-License-Identifier: Apache-2.0
#include "server/stream/confirmation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "tests/testing/random.h"

namespace tensorferry::server {
namespace {

TEST(ConfirmationsTest, WindowsInAnyOrderAreConfirmedFromTheBeginning) {
  test::Random random;
  for (int round = 0; round < 100; ++round) {
    const std::int64_t count = random.Between(1, 8);
    std::vector<Window> windows;
    for (std::int64_t i = 0; i < count; ++i) {
      windows.push_back({.index = i, .end_bytes = 10 * (i + 1), .is_last = i + 1 == count});
    }
    std::ranges::shuffle(windows, random.generator());
    Confirmations confirmations;
    std::vector<bool> came(static_cast<std::size_t>(count));
    std::int64_t before = 0;
    for (std::size_t i = 0; i < windows.size(); ++i) {
      EXPECT_FALSE(confirmations.complete());
      confirmations.Add(windows[i]);
      came[static_cast<std::size_t>(windows[i].index)] = true;
      const std::int64_t expected = 10 * (std::ranges::find(came, false) - came.begin());
      EXPECT_EQ(confirmations.size_bytes(), expected);
      EXPECT_EQ(confirmations.TakeNews(), expected == before ? 0 : expected);
      EXPECT_EQ(confirmations.TakeNews(), 0) << "reported once";
      before = expected;
    }
    EXPECT_TRUE(confirmations.complete());
  }
}

TEST(ReleasedWindowsTest, WindowEntersWithItsLastReference) {
  const auto released = std::make_shared<ReleasedWindows>();
  auto window = std::make_shared<SentWindow>(3, released);
  window->contents.end_bytes = 17;
  std::shared_ptr<SentWindow> slice = window;
  window.reset();
  EXPECT_FALSE(released->has_some());
  slice.reset();
  EXPECT_TRUE(released->has_some());
  const std::vector<Window> windows = released->Take();
  ASSERT_EQ(windows.size(), 1U);
  EXPECT_EQ(windows[0].index, 3);
  EXPECT_EQ(windows[0].end_bytes, 17);
  EXPECT_FALSE(released->has_some());
  EXPECT_TRUE(released->Take().empty());
}

TEST(ReleasedWindowsTest, NoWindowWakesWhileTheStreamSends) {
  int wakes = 0;
  ReleasedWindows released([&] { ++wakes; });
  released.Add({.index = 0});
  released.Add({.index = 1, .is_last = true});
  EXPECT_EQ(wakes, 0);
  EXPECT_EQ(released.Take().size(), 2U);
}

TEST(ReleasedWindowsTest, EveryWindowWakesOnRequest) {
  int wakes = 0;
  ReleasedWindows released([&] { ++wakes; });
  released.Add({.index = 0});
  released.WakeForEach();
  EXPECT_EQ(wakes, 0);
  EXPECT_TRUE(released.has_some()) << "for the caller to take";
  released.Add({.index = 1});
  EXPECT_EQ(wakes, 1);
}

}  // namespace
}  // namespace tensorferry::server
