// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_ADMIN_ACCEPT_CHECK_H_
#define TENSORFERRY_SERVER_ADMIN_ACCEPT_CHECK_H_

#include <chrono>
#include <string>

#include "absl/status/status.h"

namespace tensorferry::server {

// Whether the gRPC server of this process that listens at `address` (host:port, [ipv6]:port, unix:PATH or
// unix-abstract:NAME) accepts a new connection. One that has run out of descriptors once may never do so again, though
// what is connected is served well (CVE-2023-4785), and though the system goes on connecting clients to it.
// Errors: UNAVAILABLE: it does not within `timeout`.
absl::Status CheckAccepts(const std::string& address, std::chrono::milliseconds timeout);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_ADMIN_ACCEPT_CHECK_H_
