// SPDX-License-Identifier: Apache-2.0
#include "client/channel/retry_loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <random>
#include <string>
#include <utility>

#include "absl/synchronization/notification.h"
#include "client/channel/call_error.h"

namespace tensorferry {

void RetryEnvironment::SleepUnlessStopped(absl::Duration duration, const std::stop_token& stop_token) {
  absl::Notification stopped;
  const std::stop_callback on_stop(stop_token, [&] { stopped.Notify(); });
  stopped.WaitForNotificationWithTimeout(duration);
}

double RetryEnvironment::RandomFraction() {
  thread_local std::minstd_rand generator{std::random_device()()};
  return std::uniform_real_distribution<double>(0, 1)(generator);
}

RetryLoop::RetryLoop(const Retry& retry, absl::Time deadline, std::stop_token stop_token, OnRetry on_retry)
    : retry_(retry), deadline_(deadline), stop_token_(std::move(stop_token)), on_retry_(std::move(on_retry)) {}

absl::Status RetryLoop::WaitAfter(const absl::Status& failure) {
  if (stop_token_.stop_requested()) return absl::CancelledError("stopped");
  const absl::Time now = retry_.environment.now();
  if (history_.failures++ == 0) first_failure_ = now;
  if (absl::IsDataLoss(failure)) ++history_.data_losses;
  history_.elapsed = now - first_failure_;

  const std::optional<absl::Duration> delay = retry_.policy.DelayAfter(failure, history_, retry_.environment.random());
  const std::string message(failure.message());
  if (!delay) {
    if (history_.failures == 1) return failure;
    const bool is_short = history_.elapsed < absl::Seconds(1);
    return WithAttempts(
        absl::Status(failure.code(), fmt::format("{} (after {} attempts in {})", message, history_.failures,
                                                 is_short ? "less than a second" : FormatSeconds(history_.elapsed))),
        failure);
  }
  if (on_retry_) on_retry_(failure, *delay);
  retry_.environment.sleep(std::min(*delay, deadline_ - now), stop_token_);
  if (stop_token_.stop_requested()) return absl::CancelledError("stopped");
  if (retry_.environment.now() >= deadline_) {
    return WithAttempts(absl::DeadlineExceededError(fmt::format("waiting to retry after: {}", message)), failure);
  }
  return absl::OkStatus();
}

absl::Status RetryLoop::WithAttempts(absl::Status status, const absl::Status& failure) const {
  std::optional<ErrorDetails> details = ErrorDetailsOf(failure);
  if (!details) return status;
  details->attempts = history_.failures;
  return WithDetails(std::move(status), *details);
}

}  // namespace tensorferry
