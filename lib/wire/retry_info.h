// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_WIRE_RETRY_INFO_H_
#define TENSORFERRY_LIB_WIRE_RETRY_INFO_H_

#include <grpcpp/support/status.h>

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace tensorferry::wire {

// When a server wants what it refused to be tried again at the earliest: a payload of an absl::Status, and on the wire
// a google.rpc.RetryInfo among the details of a google.rpc.Status, where clients in other languages look for it, too.

// `status`, which must not be OK, with that wish.
absl::Status WithRetryDelay(absl::Status status, absl::Duration delay);
// The wish that `status` carries, which is not negative, or nothing.
std::optional<absl::Duration> RetryDelayOf(const absl::Status& status);

// The details of a grpc::Status of that code and `message` that carry what `status` does; empty if that is nothing.
std::string RetryDetails(const absl::Status& status, const std::string& message);
// Adds to `status` what the details of a grpc::Status carry. Details that are of no such form add nothing.
void AddRetryDetails(const std::string& details, absl::Status& status);

}  // namespace tensorferry::wire

#endif  // TENSORFERRY_LIB_WIRE_RETRY_INFO_H_
