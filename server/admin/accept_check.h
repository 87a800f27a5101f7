// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_ADMIN_ACCEPT_CHECK_H_
#define TENSORFERRY_SERVER_ADMIN_ACCEPT_CHECK_H_

#include <chrono>
#include <vector>

#include "absl/status/status.h"
#include "server/net/socket_address.h"

namespace tensorferry::server {

// Whether the gRPC server of this process, whose sockets are bound to `addresses`, accepts a new connection at each of
// them. One whose accepting thread hangs does not, though what is connected is served well, and though the system goes
// on connecting clients to it (gRPC's own listeners had that fault: CVE-2023-4785). Asks nobody else, DNS least of all.
// Errors: UNAVAILABLE: it does not within `timeout`.
absl::Status CheckAccepts(const std::vector<SocketAddress>& addresses, std::chrono::milliseconds timeout);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_ADMIN_ACCEPT_CHECK_H_
