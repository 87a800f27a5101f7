// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_NET_LISTEN_ADDRESS_H_
#define TENSORFERRY_SERVER_NET_LISTEN_ADDRESS_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace tensorferry::server {

// INVALID_ARGUMENT unless the address is that of a unix socket (UnixPath) or host:port with a port from 0 to 65535.
// gRPC would take a missing port for 443 and one that is too large for 0.
absl::Status CheckListenAddress(std::string_view address);

// The path that the address of a unix socket names, or the name in the abstract namespace with a NUL before it, as gRPC
// reads it: unix:PATH, unix:///PATH with an absolute one, or unix-abstract:NAME.
std::string UnixPath(std::string_view address);

// `address` with its port, if it has one, replaced.
std::string WithPort(std::string_view address, int port);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_NET_LISTEN_ADDRESS_H_
