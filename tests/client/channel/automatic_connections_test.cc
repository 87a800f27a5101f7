// SPDX-License-Identifier: Apache-2.0
#include "client/channel/automatic_connections.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace tensorferry {
namespace {

constexpr std::int64_t kLarge = std::numeric_limits<std::int64_t>::max();

TEST(AutomaticConnectionsTest, SmallFetchUsesOne) {
  for (const int cores : {1, 2, 16, 256}) {
    EXPECT_EQ(AutomaticConnections(0, false, cores), 1);
    EXPECT_EQ(AutomaticConnections(4096, true, cores), 1);
    EXPECT_EQ(AutomaticConnections(32 << 20, true, cores), 1);
  }
}

TEST(AutomaticConnectionsTest, LargeFetchUsesMoreWithMoreCoresUpToTheLimit) {
  for (const bool encrypted : {false, true}) {
    int last = 1;
    for (int cores = 1; cores <= 256; ++cores) {
      const int connections = AutomaticConnections(kLarge, encrypted, cores);
      EXPECT_GE(connections, last);
      EXPECT_LE(connections, kMaxAutomaticConnections);
      last = connections;
    }
    EXPECT_EQ(last, kMaxAutomaticConnections);
  }
}

TEST(AutomaticConnectionsTest, EveryConnectionGetsEnoughBytes) {
  for (std::int64_t size = 1; size < kLarge / 3; size *= 3) {
    const int connections = AutomaticConnections(size, true, 64);
    EXPECT_TRUE(connections == 1 || size / connections >= 16 << 20) << size << " over " << connections;
  }
}

}  // namespace
}  // namespace tensorferry
