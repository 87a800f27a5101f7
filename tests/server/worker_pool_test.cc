// SPDX-License-Identifier: Apache-2.0
#include "server/worker_pool.h"

#include <gtest/gtest.h>

#include <latch>
#include <thread>

namespace tensorferry::server {
namespace {

TEST(WorkerPoolTest, WhatMayBeLeftOutLeavesHalfOfTheThreadsToTheRest) {
  std::latch leave(1);
  std::latch ran(1);
  {
    WorkerPool pool(4);
    EXPECT_TRUE(pool.ScheduleIfSpare([&] { leave.wait(); }));
    EXPECT_TRUE(pool.ScheduleIfSpare([&] { leave.wait(); }));
    EXPECT_FALSE(pool.ScheduleIfSpare([] { ADD_FAILURE() << "it was not to run"; }));
    pool.Schedule([&] { ran.count_down(); });
    ran.wait();
    leave.count_down();
  }
}

TEST(WorkerPoolTest, ThreadsThatAreDoneAreSpareAgain) {
  WorkerPool pool(2);
  for (int i = 0; i < 100; ++i) {
    std::latch ran(1);
    // Until the one before has come to its end.
    while (!pool.ScheduleIfSpare([&] { ran.count_down(); })) std::this_thread::yield();
    ran.wait();
  }
}

TEST(WorkerPoolTest, WhatWasScheduledRunsBeforeThePoolGoes) {
  int runs = 0;
  {
    WorkerPool pool(1);
    for (int i = 0; i < 1000; ++i) pool.Schedule([&] { ++runs; });
  }
  EXPECT_EQ(runs, 1000);
}

}  // namespace
}  // namespace tensorferry::server
