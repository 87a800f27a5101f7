// SPDX-License-Identifier: Apache-2.0
#include "server/stream/worker_pool.h"

#include <gtest/gtest.h>

#include <latch>
#include <thread>

namespace tensorferry::server {
namespace {

TEST(WorkerPoolTest, ThreadsAreSpareWhileThreeQuartersOfThemAreIdle) {
  std::latch leave(1);
  WorkerPool pool(8);
  EXPECT_TRUE(pool.has_spare_threads());
  pool.Schedule([&] { leave.wait(); });
  EXPECT_TRUE(pool.has_spare_threads());
  pool.Schedule([&] { leave.wait(); });
  EXPECT_FALSE(pool.has_spare_threads());
  leave.count_down();
  // Until both have come to their ends.
  while (!pool.has_spare_threads()) std::this_thread::yield();
}

TEST(WorkerPoolTest, ScheduledTasksRunBeforeThePoolIsDestroyed) {
  int runs = 0;
  {
    WorkerPool pool(1);
    for (int i = 0; i < 1000; ++i) pool.Schedule([&] { ++runs; });
  }
  EXPECT_EQ(runs, 1000);
}

}  // namespace
}  // namespace tensorferry::server
