// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CHANNEL_RETRY_POLICY_H_
#define TENSORFERRY_CLIENT_CHANNEL_RETRY_POLICY_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tensorferry/retry_options.h"

namespace tensorferry {

// The failures in a row: since a call began or last made progress.
struct FailureHistory {
  // Their number, including the last one.
  int failures = 0;
  // The number of those that were DATA_LOSS.
  int data_losses = 0;
  // The time since the first of them.
  absl::Duration elapsed = absl::ZeroDuration();
};

// Decides if and when a failed call is retried. Has no clock and no randomness of its own. Safe for concurrent use.
class RetryPolicy {
 public:
  // The limit for DATA_LOSS. A server that sends broken data probably sends it again, unlike a network that damages
  // some.
  static constexpr int kMaxDataLosses = 3;

  // Validates the options. Errors: INVALID_ARGUMENT: an option is out of range.
  static absl::Status Validate(const RetryOptions& options);

  // `options` must be valid.
  explicit RetryPolicy(const RetryOptions& options) : options_(options) {}

  // Returns true if another attempt may succeed after this failure, which came from a server or the connection to it.
  static bool IsRetryable(const absl::Status& status);

  // Returns the delay before the next attempt, or nothing to give up. `random` is in [0, 1). The delay that the server
  // asked for (google.rpc.RetryInfo) is added to the policy's own.
  std::optional<absl::Duration> DelayAfter(const absl::Status& status, const FailureHistory& history,
                                           double random) const;

 private:
  const RetryOptions options_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_CHANNEL_RETRY_POLICY_H_
