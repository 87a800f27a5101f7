// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CHANNEL_RETRY_POLICY_H_
#define TENSORFERRY_CLIENT_CHANNEL_RETRY_POLICY_H_

#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tensorferry/retry_options.h"

namespace tensorferry {

// The failures since a call began or last made progress.
struct FailureHistory {
  // How many there were, the last one included.
  int failures = 0;
  // How many of them were DATA_LOSS.
  int data_losses = 0;
  // The time since the first of them.
  absl::Duration elapsed = absl::ZeroDuration();
};

// Decides whether what failed is tried again, and when. A pure function: it has no clock and no randomness of its own.
class RetryPolicy {
 public:
  // A server that sends broken data does it again, in all likelihood; a network that breaks some does not.
  static constexpr int kMaxDataLosses = 3;

  // Errors: INVALID_ARGUMENT: an option out of range.
  static absl::Status Validate(const RetryOptions& options);

  // `options` must be valid.
  explicit RetryPolicy(const RetryOptions& options) : options_(options) {}

  // Whether another attempt can succeed after this failure. `status` came from a server or from the way to it.
  static bool IsRetryable(const absl::Status& status);

  // How long to wait before the next attempt; nothing: give up. `random` is from [0, 1). What the server asked for
  // (google.rpc.RetryInfo) is waited on top of what the policy says.
  std::optional<absl::Duration> DelayAfter(const absl::Status& status, const FailureHistory& history,
                                           double random) const;

 private:
  const RetryOptions options_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_CHANNEL_RETRY_POLICY_H_
