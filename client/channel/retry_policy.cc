// SPDX-License-Identifier: Apache-2.0
#include "client/channel/retry_policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "lib/wire/retry_info.h"

namespace tensorferry {
namespace {

// Whether gRPC made this status up because the stream broke: the same codes also come from servers that mean them, so
// that only gRPC's words tell. CANCELLED, when it is not the caller who cancelled, is what a server or proxy that goes
// away says.
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
  // All that is said of a call that came when the server had begun to close; the server's name may stand before it.
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
        fmt::format("retry.max_attempts is {}, it must be at least 1", options.max_attempts));
  }
  if (!(options.multiplier >= 1)) {
    return absl::InvalidArgumentError(fmt::format("retry.multiplier is {}, it must be at least 1", options.multiplier));
  }
  if (std::min({options.max_time_without_progress, options.initial_delay, options.max_delay}) < absl::ZeroDuration()) {
    return absl::InvalidArgumentError("retry: a duration is negative");
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
  // Clients that were all told the same do not come back all at once.
  const absl::Duration wanted = wire::RetryDelayOf(status).value_or(absl::ZeroDuration()) + limit * random;
  // The last attempt comes when the time is over, not after it.
  return std::min(wanted, options_.max_time_without_progress - history.elapsed);
}

}  // namespace tensorferry
