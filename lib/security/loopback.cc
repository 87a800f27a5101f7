// SPDX-License-Identifier: Apache-2.0
#include "lib/security/loopback.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <string>

namespace tensorferry {
namespace {

// Takes the first of these off that the address begins with. A list of addresses (ipv4:a,b) is no address here, and a
// DNS server that is named (dns://server/name) may answer anything.
std::string_view WithoutScheme(std::string_view address) {
  for (const std::string_view scheme : {"dns:///", "dns:", "ipv4:", "ipv6:"}) {
    if (address.starts_with(scheme)) return address.substr(scheme.size());
  }
  return address;
}

// The part before the last colon, without brackets.
std::string Host(std::string_view address) {
  std::string_view host = address.substr(0, address.rfind(':'));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return std::string(host);
}

}  // namespace

bool IsLoopback(std::string_view address) {
  if (IsUnixSocket(address)) return true;
  const std::string host = Host(WithoutScheme(address));
  if (host == "localhost") return true;
  in_addr ipv4 = {};
  if (::inet_pton(AF_INET, host.c_str(), &ipv4) == 1) return ntohl(ipv4.s_addr) >> 24 == 127;
  in6_addr ipv6 = {};
  return ::inet_pton(AF_INET6, host.c_str(), &ipv6) == 1 && IN6_IS_ADDR_LOOPBACK(&ipv6);
}

bool IsUnixSocket(std::string_view address) {
  return address.starts_with("unix:") || address.starts_with("unix-abstract:");
}

}  // namespace tensorferry
