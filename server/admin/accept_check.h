// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_ADMIN_ACCEPT_CHECK_H_
#define TENSORFERRY_SERVER_ADMIN_ACCEPT_CHECK_H_

#include <chrono>
#include <vector>

#include "absl/status/status.h"
#include "server/net/socket_address.h"

namespace tensorferry::server {

// Checks that the gRPC server of this process, whose sockets are bound to `addresses`, accepts a new connection at each
// of them. If its accepting thread hangs, existing connections work, and the system still completes new ones: gRPC's
// own listeners had this fault, CVE-2023-4785. Depends on nothing else, in particular not on DNS. Errors: UNAVAILABLE:
// a connection is not accepted within `timeout`.
absl::Status CheckAccepts(const std::vector<SocketAddress>& addresses, std::chrono::milliseconds timeout);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_ADMIN_ACCEPT_CHECK_H_
