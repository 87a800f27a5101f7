// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_WIRE_STATUS_CONVERSION_H_
#define TENSORFERRY_LIB_WIRE_STATUS_CONVERSION_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace tensorferry::wire {

// The codes of both are the same numbers; messages are kept, cut at what fits into HTTP/2 trailers, and so is what
// retry_info.h adds to a status.
grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace tensorferry::wire

#endif  // TENSORFERRY_LIB_WIRE_STATUS_CONVERSION_H_
