// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_NET_LISTEN_ADDRESS_H_
#define TENSORFERRY_SERVER_NET_LISTEN_ADDRESS_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace tensorferry::server {

// Validates an address to listen on: host:port with a port from 0 to 65535, or a unix socket, see UnixPath(). gRPC
// itself would use port 443 instead of a missing port, and 0 instead of one that is too large.
// Errors: INVALID_ARGUMENT, with the address.
absl::Status CheckListenAddress(std::string_view address);

// Returns the path of a unix socket's address, or a NUL and its name in the abstract namespace. As gRPC does, accepts
// unix:PATH, unix:///PATH with an absolute path, and unix-abstract:NAME.
std::string UnixPath(std::string_view address);

// Returns `address` with another port. Unix sockets have none and stay as they are.
std::string WithPort(std::string_view address, int port);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_NET_LISTEN_ADDRESS_H_
