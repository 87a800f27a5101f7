// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_HEALTH_H_
#define TENSORFERRY_HEALTH_H_

#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tensorferry/client.h"

namespace tensorferry {

// Asks the server at `address` (one; as Client::Connect takes it) by the standard grpc.health.v1 whether `service` is
// being served: "" (all of it), "readiness", "liveness" or "tensorferry.v1.TensorService". One call, which is not tried
// again; of `options`, the TLS and token options count.
// Errors: FAILED_PRECONDITION: the server says that it is not; NOT_FOUND: it knows no such service; UNAVAILABLE: it
// cannot be reached; DEADLINE_EXCEEDED: no answer within `timeout`; otherwise as Client::Connect.
absl::Status CheckHealth(std::string_view address, std::string_view service, absl::Duration timeout,
                         const ClientOptions& options = {});

}  // namespace tensorferry

#endif  // TENSORFERRY_HEALTH_H_
