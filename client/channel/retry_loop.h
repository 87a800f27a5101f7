// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CHANNEL_RETRY_LOOP_H_
#define TENSORFERRY_CLIENT_CHANNEL_RETRY_LOOP_H_

#include <functional>
#include <stop_token>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/channel/retry_policy.h"

namespace tensorferry {

// The clock, sleep and randomness of retries, which tests replace. The functions must be safe for concurrent use by
// multiple threads.
struct RetryEnvironment {
  std::function<absl::Time()> now = absl::Now;
  // Returns after `duration`, or as soon as a stop is requested.
  std::function<void(absl::Duration, const std::stop_token&)> sleep = SleepUnlessStopped;
  // Returns a number in [0, 1).
  std::function<double()> random = RandomFraction;

  static void SleepUnlessStopped(absl::Duration duration, const std::stop_token& stop_token);
  static double RandomFraction();
};

// The retry policy of a client, and the environment it runs in.
struct Retry {
  RetryPolicy policy;
  RetryEnvironment environment = {};
};

// Counts and spaces the attempts at one operation, which its owner makes one after the other. Not safe for concurrent
// use.
class RetryLoop {
 public:
  using OnRetry = std::function<void(const absl::Status&, absl::Duration)>;

  // `retry` must outlive this object. `on_retry` may be empty.
  RetryLoop(const Retry& retry, absl::Time deadline, std::stop_token stop_token, OnRetry on_retry);

  // Resets the budget. To be called after an attempt that made progress, before WaitAfter: its failure is then the
  // first.
  void MadeProgress() { history_ = {}; }

  // Waits after an attempt that failed with `failure`. Returns OK when it is time for the next attempt. Otherwise
  // returns the final status of the operation: `failure` itself, or an error that explains why there is no further
  // attempt. Errors: CANCELLED: a stop was requested; DEADLINE_EXCEEDED: the deadline passed during the wait.
  absl::Status WaitAfter(const absl::Status& failure);

 private:
  // Returns `status`, the final one, with the details of the last failure.
  absl::Status WithAttempts(absl::Status status, const absl::Status& failure) const;

  const Retry& retry_;
  const absl::Time deadline_;
  const std::stop_token stop_token_;
  const OnRetry on_retry_;
  FailureHistory history_;
  absl::Time first_failure_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_CHANNEL_RETRY_LOOP_H_
