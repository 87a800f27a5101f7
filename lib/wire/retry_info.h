// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_WIRE_RETRY_INFO_H_
#define TENSORFERRY_LIB_WIRE_RETRY_INFO_H_

#include <grpcpp/support/status.h>

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace tensorferry::wire {

// The delay after which a server accepts a retry. In a process it is a payload of an absl::Status. On the wire it is a
// google.rpc.RetryInfo in the details of a google.rpc.Status, where clients in other languages expect it.

// Returns `status`, which must not be OK, with the delay.
absl::Status WithRetryDelay(absl::Status status, absl::Duration delay);
// Returns the delay of `status`, or nothing if there is none or it is negative.
std::optional<absl::Duration> RetryDelayOf(const absl::Status& status);

// Returns the details of a grpc::Status with the delay of `status`, its code and `message`. Empty if there is no delay.
std::string EncodeRetryDetails(const absl::Status& status, const std::string& message);
// Adds the delay in the details of a grpc::Status to `status`. Ignores malformed details.
void DecodeRetryDetails(const std::string& details, absl::Status& status);

}  // namespace tensorferry::wire

#endif  // TENSORFERRY_LIB_WIRE_RETRY_INFO_H_
