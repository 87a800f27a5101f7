// SPDX-License-Identifier: Apache-2.0
//
// The texts and the typed details of a call's error.
#ifndef TENSORFERRY_CLIENT_CHANNEL_CALL_ERROR_H_
#define TENSORFERRY_CLIENT_CHANNEL_CALL_ERROR_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/channel/connection.h"
#include "tensorferry/error_details.h"

namespace tensorferry {

// Returns `status`, which is not OK, with `details`, which ErrorDetailsOf returns.
absl::Status WithDetails(absl::Status status, const ErrorDetails& details);

// Returns `status` with the server that it came from, in its message and its details. If gRPC could not connect, the
// message begins with what to do, where that is known; gRPC's own text follows in brackets.
absl::Status WithAddress(const Connection& connection, const absl::Status& status);

// As WithAddress for an error of the server or of the connection to it. An error of the request keeps its message.
absl::Status NameServer(const Connection& connection, const absl::Status& status);

// Returns `status`, unless it is DEADLINE_EXCEEDED and `timeout` is finite. In that case the message begins with
// "timed out after 10 s", followed by `progress`, for example " with 14.7 MB of 805 MB"; the former message follows in
// brackets. Details are kept.
absl::Status ExplainTimeout(const absl::Status& status, absl::Duration timeout, std::string_view progress = {});

// Returns a duration with its unit: "0 s", "250 ms", "5.6 s", "60 s".
std::string FormatSeconds(absl::Duration duration);

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_CHANNEL_CALL_ERROR_H_
