// SPDX-License-Identifier: Apache-2.0
#include "server/reload/scan_schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>

namespace tensorferry::server {
namespace {

using namespace std::literals;  // NOLINT
using ::testing::Optional;
using Time = ScanSchedule::Clock::time_point;

constexpr Time kStart = Time(1h);
constexpr auto kQuiet = ScanSchedule::kQuietTime;
constexpr auto kMoment = 1ns;

TEST(ScanScheduleTest, IntervalMakesAScanDue) {
  ScanSchedule schedule(3s, kStart);
  EXPECT_THAT(schedule.wake_time(), Optional(kStart + 3s));
  EXPECT_FALSE(schedule.IsDue(kStart));
  EXPECT_FALSE(schedule.IsDue(kStart + 3s - kMoment));
  EXPECT_TRUE(schedule.IsDue(kStart + 3s));
}

TEST(ScanScheduleTest, IntervalBeginsAtTheEndOfEachScan) {
  ScanSchedule schedule(3s, kStart);
  schedule.OnScan(kStart + 4s, 10ms);
  EXPECT_FALSE(schedule.IsDue(kStart + 7s - kMoment));
  EXPECT_TRUE(schedule.IsDue(kStart + 7s));
}

TEST(ScanScheduleTest, SlowScanIsFollowedByALongerRest) {
  ScanSchedule schedule(3s, kStart);
  schedule.OnScan(kStart, 10s);
  EXPECT_THAT(schedule.wake_time(), Optional(kStart + 200s));
  EXPECT_FALSE(schedule.IsDue(kStart + 200s - kMoment));
  EXPECT_TRUE(schedule.IsDue(kStart + 200s));
  // A fast one ends that.
  schedule.OnScan(kStart + 200s, 1ms);
  EXPECT_THAT(schedule.wake_time(), Optional(kStart + 203s));
}

TEST(ScanScheduleTest, WithoutAnIntervalNothingIsDueWithoutAHint) {
  ScanSchedule schedule(0s, kStart);
  EXPECT_EQ(schedule.wake_time(), std::nullopt);
  EXPECT_FALSE(schedule.IsDue(kStart + 100'000h));
  schedule.OnScan(kStart + 1h, 10s);
  EXPECT_EQ(schedule.wake_time(), std::nullopt);
}

TEST(ScanScheduleTest, HintMakesAScanDueAfterTheQuietTime) {
  ScanSchedule schedule(0s, kStart);
  schedule.OnHint(kStart);
  EXPECT_TRUE(schedule.hinted());
  EXPECT_THAT(schedule.wake_time(), Optional(kStart + kQuiet));
  EXPECT_FALSE(schedule.QuietTimeEnded(kStart + kQuiet - kMoment));
  EXPECT_TRUE(schedule.QuietTimeEnded(kStart + kQuiet));
  EXPECT_FALSE(schedule.IsDue(kStart + kQuiet));
  schedule.OnQuietTimeEnd(kStart + kQuiet, /*more_hints=*/false);
  EXPECT_TRUE(schedule.IsDue(kStart + kQuiet));
}

TEST(ScanScheduleTest, FurtherHintsExtendTheQuietTimeToItsLimit) {
  ScanSchedule schedule(0s, kStart);
  schedule.OnHint(kStart);
  Time now = kStart + kQuiet;
  for (; now < kStart + ScanSchedule::kMaxQuietWait; now += kQuiet) {
    ASSERT_TRUE(schedule.QuietTimeEnded(now));
    schedule.OnQuietTimeEnd(now, /*more_hints=*/true);
    ASSERT_FALSE(schedule.IsDue(now)) << (now - kStart).count();
    ASSERT_THAT(schedule.wake_time(), Optional(now + kQuiet));
  }
  schedule.OnQuietTimeEnd(now, /*more_hints=*/true);
  EXPECT_TRUE(schedule.IsDue(now));
}

TEST(ScanScheduleTest, SecondHintDoesNotMoveTheQuietTime) {
  ScanSchedule schedule(0s, kStart);
  schedule.OnHint(kStart);
  schedule.OnHint(kStart + kQuiet / 2);
  EXPECT_THAT(schedule.wake_time(), Optional(kStart + kQuiet));
}

TEST(ScanScheduleTest, IntervalDoesNotWaitForTheQuietTime) {
  ScanSchedule schedule(3s, kStart);
  schedule.OnHint(kStart + 3s - kMoment);
  EXPECT_THAT(schedule.wake_time(), Optional(kStart + 3s));
  EXPECT_TRUE(schedule.IsDue(kStart + 3s));
}

TEST(ScanScheduleTest, ScanCoversEarlierHints) {
  ScanSchedule schedule(0s, kStart);
  schedule.OnHint(kStart);
  schedule.OnQuietTimeEnd(kStart + kQuiet, /*more_hints=*/false);
  schedule.OnScan(kStart + 1s, 10ms);
  EXPECT_FALSE(schedule.hinted());
  EXPECT_FALSE(schedule.IsDue(kStart + 1h));
  // A later one counts again.
  schedule.OnHint(kStart + 2s);
  EXPECT_TRUE(schedule.QuietTimeEnded(kStart + 2s + kQuiet));
}

}  // namespace
}  // namespace tensorferry::server
