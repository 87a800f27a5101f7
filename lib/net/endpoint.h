// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_NET_ENDPOINT_H_
#define TENSORFERRY_LIB_NET_ENDPOINT_H_

#include <string_view>

namespace tensorferry {

// Of host:port or [ipv6]:port, behind gRPC's schemes for hosts (dns:, dns:///, ipv4:, ipv6:) if there is one. They
// refer to the address they were split from.
struct HostPort {
  std::string_view host;  // without brackets; all of what is neither of these, such as an IPv6 address without brackets
  std::string_view port;  // empty if there is none
};
HostPort SplitHostPort(std::string_view address);

// Whether what is sent to the address stays on this machine: unix:PATH, or localhost, 127.0.0.0/8 or ::1 with a port.
// gRPC's spellings dns:name, dns:///name, ipv4: and ipv6: count too.
bool IsLoopback(std::string_view address);

// Whether the address names a unix socket, as gRPC spells it.
bool IsUnixSocket(std::string_view address);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_NET_ENDPOINT_H_
