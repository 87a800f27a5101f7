// SPDX-License-Identifier: Apache-2.0
#include "server/listen_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstddef>
#include <cstdint>

namespace tensorferry::server {
namespace {

bool IsUnix(std::string_view address) { return address.starts_with("unix:") || address.starts_with("unix-abstract:"); }

// The part before the last colon, without brackets.
std::string Host(std::string_view address) {
  std::string_view host = address.substr(0, address.rfind(':'));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return std::string(host);
}

}  // namespace

bool IsLoopback(std::string_view address) {
  if (IsUnix(address)) return true;
  const std::string host = Host(address);
  if (host == "localhost") return true;
  in_addr ipv4 = {};
  if (::inet_pton(AF_INET, host.c_str(), &ipv4) == 1) return ntohl(ipv4.s_addr) >> 24 == 127;
  in6_addr ipv6 = {};
  return ::inet_pton(AF_INET6, host.c_str(), &ipv6) == 1 && IN6_IS_ADDR_LOOPBACK(&ipv6);
}

std::string WithPort(std::string_view address, int port) {
  if (IsUnix(address)) return std::string(address);
  return std::string(address.substr(0, address.rfind(':') + 1)) + std::to_string(port);
}

}  // namespace tensorferry::server
