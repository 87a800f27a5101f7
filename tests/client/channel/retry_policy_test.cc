// SPDX-License-Identifier: Apache-2.0
#include "client/channel/retry_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <optional>
#include <vector>

#include "client/channel/retry_loop.h"
#include "lib/wire/retry_info.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry {
namespace {

using test::StatusIs;
using ::testing::HasSubstr;
using ::testing::Optional;

constexpr double kAlmostOne = 0x1.fffffffffffffp-1;

std::optional<absl::Duration> DelayAfter(const absl::Status& status, const FailureHistory& history, double random = 0.5,
                                         const RetryOptions& options = {}) {
  return RetryPolicy(options).DelayAfter(status, history, random);
}

TEST(RetryPolicyTest, DelayOfTheServerIsAddedUpToTheEndOfTheBudget) {
  const auto refused = [](absl::Duration delay) {
    return wire::WithRetryDelay(absl::ResourceExhaustedError("too many streams"), delay);
  };
  EXPECT_THAT(DelayAfter(refused(absl::Seconds(2)), {.failures = 1}), Optional(absl::Milliseconds(2050)));
  EXPECT_THAT(DelayAfter(refused(absl::Seconds(2)), {.failures = 1}, 0), Optional(absl::Seconds(2)));
  EXPECT_THAT(DelayAfter(refused(absl::ZeroDuration()), {.failures = 1}), Optional(absl::Milliseconds(50)));
  EXPECT_THAT(DelayAfter(refused(absl::Hours(9)), {.failures = 2, .elapsed = absl::Seconds(59)}),
              Optional(absl::Seconds(1)));
  EXPECT_EQ(DelayAfter(wire::WithRetryDelay(absl::AbortedError(""), absl::Seconds(1)), {.failures = 1}), std::nullopt)
      << "a final error is not retried, even if the server gives a delay";
}

TEST(RetryPolicyTest, OnlyErrorsThatMayBeTemporaryAreRetried) {
  struct Case {
    absl::Status status;
    bool retryable;
  };
  for (const Case& c : std::vector<Case>{
           {absl::UnavailableError("failed to connect to all addresses"), true},
           {absl::UnavailableError(""), true},
           {absl::ResourceExhaustedError("too many streams"), true},
           {absl::DataLossError("checksum"), true},
           {absl::InternalError("Received RST_STREAM with error code 2"), true},
           {absl::UnknownError("Stream removed"), true},
           {absl::CancelledError("Received RST_STREAM with error code 8"), true},
           {absl::CancelledError("Cancelled on the server side"), true},
           {absl::InternalError("a bug"), false},
           {absl::UnknownError("who knows"), false},
           {absl::CancelledError("CANCELLED"), true},
           {absl::CancelledError("server \"a:1\": CANCELLED"), true},
           {absl::AbortedError("the model changed: RST_STREAM"), false},
           {absl::InvalidArgumentError(""), false},
           {absl::NotFoundError("there is no tensor \"RST_STREAM\""), false},
           {absl::DeadlineExceededError(""), false},
           {absl::FailedPreconditionError(""), false},
           {absl::OutOfRangeError(""), false},
           {absl::PermissionDeniedError(""), false},
           {absl::UnauthenticatedError(""), false},
           {absl::UnimplementedError(""), false},
           {absl::AlreadyExistsError(""), false},
       }) {
    EXPECT_EQ(RetryPolicy::IsRetryable(c.status), c.retryable) << c.status;
    EXPECT_EQ(DelayAfter(c.status, {.failures = 1}).has_value(), c.retryable) << c.status;
  }
}

TEST(RetryPolicyTest, DelayIsRandomUpToALimitThatDoublesUpToTheMaximum) {
  const absl::Status status = absl::UnavailableError("");
  const RetryOptions patient{.max_attempts = std::numeric_limits<int>::max()};
  const int kLimitsMs[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000};
  int failures = 0;
  for (const int limit : kLimitsMs) {
    ++failures;
    EXPECT_THAT(DelayAfter(status, {.failures = failures}, 0, patient), Optional(absl::ZeroDuration()));
    EXPECT_THAT(DelayAfter(status, {.failures = failures}, 0.5, patient), Optional(absl::Milliseconds(limit) / 2));
    EXPECT_LE(*DelayAfter(status, {.failures = failures}, kAlmostOne, patient), absl::Milliseconds(limit));
  }
  for (const int many : {100, 2'000, 1'000'000}) {
    EXPECT_LE(*DelayAfter(status, {.failures = many}, kAlmostOne, patient), absl::Seconds(5)) << many;
  }
}

// A server may take the whole of `max_time_without_progress` to restart.
TEST(RetryPolicyTest, DefaultAttemptsLastUntilTheTimeEnds) {
  absl::Duration elapsed = absl::ZeroDuration();
  int failures = 1;
  // Even if most delays are short.
  for (; elapsed < absl::Seconds(60); ++failures) {
    const std::optional<absl::Duration> delay =
        DelayAfter(absl::UnavailableError(""), {.failures = failures, .elapsed = elapsed}, 0.2);
    ASSERT_TRUE(delay.has_value()) << failures << " failures in " << elapsed;
    elapsed += *delay;
  }
  EXPECT_GT(failures, 20);
}

TEST(RetryPolicyTest, BudgetsEnd) {
  const RetryOptions options{.max_attempts = 8};
  const absl::Status away = absl::UnavailableError("");
  const absl::Status broken = absl::DataLossError("");
  EXPECT_TRUE(DelayAfter(away, {.failures = 7}, 0.5, options).has_value());
  EXPECT_FALSE(DelayAfter(away, {.failures = 8}, 0.5, options).has_value());
  EXPECT_FALSE(DelayAfter(away, {.failures = 1}, 0.5, {.max_attempts = 1}).has_value());

  EXPECT_TRUE(DelayAfter(broken, {.failures = 2, .data_losses = 2}).has_value());
  EXPECT_FALSE(DelayAfter(broken, {.failures = 3, .data_losses = 3}).has_value());

  EXPECT_TRUE(DelayAfter(away, {.failures = 2, .elapsed = absl::Seconds(59)}).has_value());
  EXPECT_FALSE(DelayAfter(away, {.failures = 2, .elapsed = absl::Seconds(60)}).has_value());
  EXPECT_THAT(DelayAfter(away, {.failures = 7, .elapsed = absl::Milliseconds(59'999)}, kAlmostOne),
              Optional(absl::Milliseconds(1)))
      << "the last attempt is made when the time ends";
}

TEST(RetryPolicyTest, OptionsOutOfRangeAreNamed) {
  TF_EXPECT_OK(RetryPolicy::Validate({}));
  TF_EXPECT_OK(RetryPolicy::Validate({.max_attempts = 1, .initial_delay = absl::ZeroDuration()}));
  const auto invalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(RetryPolicy::Validate({.max_attempts = 0}), StatusIs(invalid, HasSubstr("max_attempts is 0")));
  EXPECT_THAT(RetryPolicy::Validate({.multiplier = 0.5}), StatusIs(invalid, HasSubstr("multiplier is 0.5")));
  EXPECT_THAT(RetryPolicy::Validate({.multiplier = std::numeric_limits<double>::quiet_NaN()}), StatusIs(invalid));
  EXPECT_THAT(RetryPolicy::Validate({.initial_delay = -absl::Seconds(1)}), StatusIs(invalid));
}

// A clock that advances only in sleep, and when a test advances it.
class RetryLoopTest : public ::testing::Test {
 protected:
  RetryLoop Loop(absl::Time deadline = absl::InfiniteFuture()) {
    return RetryLoop(retry_, deadline, stop_.get_token(),
                     [this](const absl::Status&, absl::Duration delay) { reported_.push_back(delay); });
  }

  absl::Time now_ = absl::UnixEpoch();
  std::stop_source stop_;
  std::vector<absl::Duration> slept_;
  std::vector<absl::Duration> reported_;
  const absl::Status away_ = absl::UnavailableError("away");
  const Retry retry_{.policy = RetryPolicy({.max_attempts = 8}),
                     .environment = {.now = [this] { return now_; },
                                     .sleep =
                                         [this](absl::Duration duration, const std::stop_token&) {
                                           slept_.push_back(duration);
                                           now_ += duration;
                                         },
                                     .random = [] { return 0.5; }}};
};

TEST_F(RetryLoopTest, GivesUpAfterTheLastAttemptAndReportsTheirNumber) {
  RetryLoop loop = Loop();
  for (int i = 0; i < 7; ++i) TF_ASSERT_OK(loop.WaitAfter(away_));
  EXPECT_EQ(reported_, slept_);
  EXPECT_EQ(slept_.back(), absl::Milliseconds(2500));
  EXPECT_THAT(loop.WaitAfter(away_), StatusIs(absl::StatusCode::kUnavailable, "away (after 8 attempts in 5.7 s)"));
  EXPECT_EQ(slept_.size(), 7U);
}

TEST_F(RetryLoopTest, TimeOfQuickFailuresIsNeverZero) {
  const Retry quick{.policy = RetryPolicy({.max_attempts = 2, .initial_delay = absl::ZeroDuration()}),
                    .environment = retry_.environment};
  RetryLoop loop(quick, absl::InfiniteFuture(), stop_.get_token(), {});
  TF_ASSERT_OK(loop.WaitAfter(away_));
  EXPECT_THAT(loop.WaitAfter(away_),
              StatusIs(absl::StatusCode::kUnavailable, "away (after 2 attempts in less than a second)"));
}

TEST_F(RetryLoopTest, ProgressRenewsTheBudget) {
  RetryLoop loop = Loop();
  for (int i = 0; i < 1000; ++i) {
    for (int failures = 0; failures < 7; ++failures) TF_ASSERT_OK(loop.WaitAfter(away_));
    loop.MadeProgress();
  }
  TF_ASSERT_OK(loop.WaitAfter(away_));
  EXPECT_EQ(slept_.back(), absl::Milliseconds(50)) << "the delay starts from the beginning, too";
}

TEST_F(RetryLoopTest, TimeThatPassesInAttemptsCounts) {
  RetryLoop loop = Loop();
  TF_ASSERT_OK(loop.WaitAfter(away_));
  now_ += absl::Seconds(61);
  EXPECT_THAT(loop.WaitAfter(away_), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("after 2 attempts")));
}

TEST_F(RetryLoopTest, FinalErrorIsReturnedUnchanged) {
  EXPECT_EQ(Loop().WaitAfter(absl::NotFoundError("none")), absl::NotFoundError("none"));
  EXPECT_TRUE(slept_.empty());
  EXPECT_TRUE(reported_.empty());
}

TEST_F(RetryLoopTest, DeadlineEndsTheDelay) {
  RetryLoop loop = Loop(now_ + absl::Milliseconds(30));
  EXPECT_THAT(loop.WaitAfter(away_), StatusIs(absl::StatusCode::kDeadlineExceeded, HasSubstr("away")));
  EXPECT_EQ(slept_, std::vector{absl::Milliseconds(30)});
}

TEST_F(RetryLoopTest, StopEndsTheDelay) {
  RetryLoop loop = Loop();
  stop_.request_stop();
  EXPECT_THAT(loop.WaitAfter(away_), StatusIs(absl::StatusCode::kCancelled));
  EXPECT_TRUE(slept_.empty());
  // The real sleep ends as well.
  const absl::Time begin = absl::Now();
  RetryEnvironment::SleepUnlessStopped(absl::Hours(1), stop_.get_token());
  EXPECT_LT(absl::Now() - begin, absl::Minutes(1));
}

TEST(RetryEnvironmentTest, RandomFractionsAreInRangeAndDiffer) {
  double least = 1;
  double most = 0;
  for (int i = 0; i < 1000; ++i) {
    const double random = RetryEnvironment::RandomFraction();
    ASSERT_GE(random, 0);
    ASSERT_LT(random, 1);
    least = std::min(least, random);
    most = std::max(most, random);
  }
  EXPECT_LT(least, 0.2);
  EXPECT_GT(most, 0.8);
}

}  // namespace
}  // namespace tensorferry
