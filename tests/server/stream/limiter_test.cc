// SPDX-License-Identifier: Apache-2.0
#include "server/stream/limiter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>

#include "tests/testing/status_matchers.h"

namespace tensorferry::server {
namespace {

using std::chrono::milliseconds;
using test::StatusIs;
using ::testing::HasSubstr;

constexpr auto kResourceExhausted = absl::StatusCode::kResourceExhausted;

class FakeStream final : public StreamLimiter::Stream {
 public:
  bool CutOff(const StreamLimits& limits, SteadyTime now) override {
    limits_seen = limits.max_streams;
    now_seen = now;
    ++sweeps;
    return false;
  }
  void End(const absl::Status& error) override { end = error; }

  std::atomic<int> limits_seen = 0;
  std::atomic<SteadyTime> now_seen = SteadyTime();
  std::atomic<int> sweeps = 0;
  absl::Status end;
};

TEST(StreamLimiterTest, StreamsBeyondTheLimitAreRefusedUntilOneEnds) {
  StreamLimiter limiter({.max_streams = 2});
  std::optional<StreamLimiter::Ticket> first;
  {
    TF_ASSERT_OK_AND_ASSIGN(StreamLimiter::Ticket ticket, limiter.Admit());
    first.emplace(std::move(ticket));
  }
  TF_ASSERT_OK_AND_ASSIGN(const StreamLimiter::Ticket second, limiter.Admit());
  EXPECT_EQ(limiter.active(), 2);
  EXPECT_THAT(limiter.Admit(), StatusIs(kResourceExhausted, HasSubstr("--max-streams")));
  EXPECT_EQ(limiter.active(), 2) << "a refused stream does not count";
  first.reset();
  EXPECT_EQ(limiter.active(), 1);
  TF_EXPECT_OK(limiter.Admit());
}

TEST(StreamLimiterTest, StreamsAreRefusedWhileTooMuchDataIsInFlight) {
  StreamLimiter limiter({.max_in_flight_bytes = 100});
  EXPECT_FALSE(limiter.ShortOfMemory());
  limiter.in_flight_bytes()->Add(50);
  EXPECT_TRUE(limiter.ShortOfMemory());
  TF_EXPECT_OK(limiter.Admit());
  limiter.in_flight_bytes()->Add(50);
  EXPECT_THAT(limiter.Admit(), StatusIs(kResourceExhausted, HasSubstr("--max-in-flight-bytes")));
  limiter.in_flight_bytes()->Remove(51);
  TF_EXPECT_OK(limiter.Admit());
  EXPECT_FALSE(limiter.ShortOfMemory());
}

TEST(StreamLimiterTest, ZeroIsNoLimit) {
  StreamLimiter limiter({.max_streams = 0, .max_in_flight_bytes = 0});
  limiter.in_flight_bytes()->Add(std::int64_t{1} << 50);
  EXPECT_FALSE(limiter.ShortOfMemory());
  TF_EXPECT_OK(limiter.Admit());
}

TEST(StreamLimiterTest, SweepShowsTheTimeToStreamsThatExist) {
  std::atomic<SteadyTime> now = SteadyTime(milliseconds(5));
  StreamLimiter limiter({.max_streams = 7}, [&] { return now.load(); });
  const auto stream = std::make_shared<FakeStream>();
  auto gone = std::make_shared<FakeStream>();
  limiter.Watch(stream);
  limiter.Watch(gone);
  gone.reset();
  now = SteadyTime(milliseconds(11));
  limiter.Sweep();
  EXPECT_GE(stream->sweeps, 1);
  EXPECT_EQ(stream->now_seen.load(), SteadyTime(milliseconds(11)));
  EXPECT_EQ(stream->limits_seen, 7);
}

TEST(StreamLimiterTest, EndAllEndsStreamsThatExist) {
  StreamLimiter limiter({});
  const auto stream = std::make_shared<FakeStream>();
  limiter.Watch(stream);
  limiter.EndAll(absl::UnavailableError("bye"));
  EXPECT_THAT(stream->end, StatusIs(absl::StatusCode::kUnavailable, HasSubstr("bye")));
}

}  // namespace
}  // namespace tensorferry::server
