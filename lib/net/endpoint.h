// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_NET_ENDPOINT_H_
#define TENSORFERRY_LIB_NET_ENDPOINT_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace tensorferry {

// The parts of an address. They refer to the text of that address.
struct HostPort {
  std::string_view host;  // without brackets
  std::string_view port;  // empty if there is none
};

// Splits host:port or [ipv6]:port, after one of gRPC's schemes for hosts (dns:, dns:///, ipv4:, ipv6:) if present. The
// host of any other text is all of it: of an IPv6 address without brackets, for example.
HostPort SplitHostPort(std::string_view address);

// Returns the number of a port, 0 to 65535, or nothing if the text is not exactly that. gRPC itself takes a port modulo
// 65536, and a word as port 0.
std::optional<std::uint16_t> ParsePort(std::string_view text);

// Returns true if bytes sent to the address stay on this machine: a unix socket, localhost, 127.0.0.0/8 or ::1. Accepts
// gRPC's schemes for hosts as SplitHostPort does.
bool IsLoopback(std::string_view address);

// Returns true for a unix socket in gRPC's spelling: unix:PATH or unix-abstract:NAME.
bool IsUnixSocket(std::string_view address);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_NET_ENDPOINT_H_
