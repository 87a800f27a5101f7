// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_WIRE_STATUS_CONVERSION_H_
#define TENSORFERRY_LIB_WIRE_STATUS_CONVERSION_H_

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace tensorferry::wire {

// Conversions that keep the code, the message and the delay of retry_info.h. ToGrpc shortens messages that do not fit
// into HTTP/2 trailers.
grpc::Status ToGrpc(const absl::Status& status);
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace tensorferry::wire

#endif  // TENSORFERRY_LIB_WIRE_STATUS_CONVERSION_H_
