// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_HEALTH_H_
#define TENSORFERRY_HEALTH_H_

#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tensorferry/client.h"

namespace tensorferry {

// Asks the server at `address` if it is serving `service`, with the standard protocol grpc.health.v1. The services are
// "" (the whole server), "readiness", "liveness" and "tensorferry.v1.TensorService". `address` is a single address, as
// for Client::Connect. Makes one call without retries, and blocks until it ends. Of `options`, only those for TLS, the
// token and the proxy have an effect. Safe for concurrent use by multiple threads. Errors: FAILED_PRECONDITION: the
// service is not being served; NOT_FOUND: the server does not know the service; UNAVAILABLE: the server cannot be
// reached; DEADLINE_EXCEEDED: no answer within `timeout`; otherwise as Client::Connect.
absl::Status CheckHealth(std::string_view address, std::string_view service, absl::Duration timeout,
                         const ClientOptions& options = {});

}  // namespace tensorferry

#endif  // TENSORFERRY_HEALTH_H_
