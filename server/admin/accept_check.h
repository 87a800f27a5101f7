// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_ADMIN_ACCEPT_CHECK_H_
#define TENSORFERRY_SERVER_ADMIN_ACCEPT_CHECK_H_

#include <chrono>
#include <vector>

#include "absl/status/status.h"
#include "server/socket_address.h"

namespace tensorferry::server {

// Whether the gRPC server of this process, whose sockets are bound to `addresses`, accepts a new connection at each of
// them. One that has run out of descriptors once may never do so again, though what is connected is served well
// (CVE-2023-4785), and though the system goes on connecting clients to it. Asks nobody else, DNS least of all.
// Errors: UNAVAILABLE: it does not within `timeout`.
absl::Status CheckAccepts(const std::vector<SocketAddress>& addresses, std::chrono::milliseconds timeout);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_ADMIN_ACCEPT_CHECK_H_
