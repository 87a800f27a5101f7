// SPDX-License-Identifier: Apache-2.0
#include "client/channel/retry_policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "lib/wire/retry_info.h"

namespace tensorferry {
namespace {

// Returns true if gRPC produced this status itself because the stream broke. A server may send the same codes for
// other reasons, so that only gRPC's words identify it. CANCELLED, if the caller did not cancel, comes from a server or
// proxy that shuts down.
bool IsBrokenStream(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kCancelled:
      break;
    default:
      return false;
  }
  const std::string_view message(status.message().data(), status.message().size());
  // The whole message of a call that arrived when the server had begun to shut down. The server's name may precede it.
  if (message == "CANCELLED" || message.ends_with(": CANCELLED")) return true;
  for (const std::string_view words :
       {"RST_STREAM", "Stream removed", "Stream closed", "Cancelled on the server side"}) {
    if (message.find(words) != std::string_view::npos) return true;
  }
  return false;
}

}  // namespace

absl::Status RetryPolicy::Validate(const RetryOptions& options) {
  if (options.max_attempts < 1) {
    return absl::InvalidArgumentError(
        fmt::format("retry.max_attempts is {}: it must be at least 1", options.max_attempts));
  }
  if (!(options.multiplier >= 1)) {
    return absl::InvalidArgumentError(fmt::format("retry.multiplier is {}: it must be at least 1", options.multiplier));
  }
  if (std::min({options.max_time_without_progress, options.initial_delay, options.max_delay}) < absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        "retry: max_time_without_progress, initial_delay and max_delay must not be negative");
  }
  return absl::OkStatus();
}

bool RetryPolicy::IsRetryable(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsResourceExhausted(status) || absl::IsDataLoss(status) ||
         IsBrokenStream(status);
}

std::optional<absl::Duration> RetryPolicy::DelayAfter(const absl::Status& status, const FailureHistory& history,
                                                      double random) const {
  if (!IsRetryable(status) || history.failures >= options_.max_attempts || history.data_losses >= kMaxDataLosses ||
      history.elapsed >= options_.max_time_without_progress) {
    return std::nullopt;
  }
  const double growth = std::pow(options_.multiplier, history.failures - 1);
  const absl::Duration limit = std::min(options_.initial_delay * growth, options_.max_delay);
  // Randomness spreads clients that all received the same delay from a server.
  const absl::Duration wanted = wire::RetryDelayOf(status).value_or(absl::ZeroDuration()) + limit * random;
  // The last attempt is made when the time ends, not after it.
  return std::min(wanted, options_.max_time_without_progress - history.elapsed);
}

}  // namespace tensorferry
