// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CHANNEL_RETRY_LOOP_H_
#define TENSORFERRY_CLIENT_CHANNEL_RETRY_LOOP_H_

#include <functional>
#include <stop_token>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/channel/retry_policy.h"

namespace tensorferry {

// What retrying needs of the world. Tests bring their own; the functions must be safe for use by multiple threads.
struct RetryEnvironment {
  std::function<absl::Time()> now = absl::Now;
  // Returns after that long, or as soon as a stop is requested.
  std::function<void(absl::Duration, const std::stop_token&)> sleep = SleepUnlessStopped;
  // From [0, 1).
  std::function<double()> random = RandomFraction;

  static void SleepUnlessStopped(absl::Duration duration, const std::stop_token& stop_token);
  static double RandomFraction();
};

// How a client retries.
struct Retry {
  RetryPolicy policy;
  RetryEnvironment environment = {};
};

// The attempts at one thing, which its owner makes one after the other. Not safe for concurrent use.
class RetryLoop {
 public:
  using OnRetry = std::function<void(const absl::Status&, absl::Duration)>;

  // `retry` must outlive it. `on_retry` may be empty.
  RetryLoop(const Retry& retry, absl::Time deadline, std::stop_token stop_token, OnRetry on_retry);

  // To be called after an attempt that got further than those before it: its failure is the first again.
  void MadeProgress() { history_ = {}; }

  // To be called after an attempt that failed with `failure`. Returns OK when it is time for the next one, else the
  // status that the whole ends with: `failure` itself, or one that says why there is no further attempt.
  absl::Status WaitAfter(const absl::Status& failure);

 private:
  // Returns `status`, which the whole ends with, with the details of the last failure.
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
