// SPDX-License-Identifier: Apache-2.0
#include "lib/net/endpoint.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <charconv>
#include <cstddef>
#include <string>
#include <system_error>

namespace tensorferry {
namespace {

// Removes gRPC's scheme for hosts. Keeps a list of addresses (ipv4:a,b) whole, since it is not one address. Also keeps
// dns://server/name whole: the named DNS server may answer anything.
std::string_view WithoutScheme(std::string_view address) {
  for (const std::string_view scheme : {"dns:///", "dns:", "ipv4:", "ipv6:"}) {
    if (address.starts_with(scheme)) return address.substr(scheme.size());
  }
  return address;
}

}  // namespace

HostPort SplitHostPort(std::string_view address) {
  address = WithoutScheme(address);
  const bool in_brackets = address.starts_with('[');
  const std::size_t host_end = address.find(in_brackets ? ']' : ':');
  if (host_end == std::string_view::npos) return {.host = address, .port = {}};
  const std::string_view host = in_brackets ? address.substr(1, host_end - 1) : address.substr(0, host_end);
  std::string_view port = address.substr(host_end + (in_brackets ? 1 : 0));
  if (port.empty()) return {.host = host, .port = {}};
  if (port.front() != ':' || port.rfind(':') != 0) return {.host = address, .port = {}};
  port.remove_prefix(1);
  return {.host = host, .port = port};
}

std::optional<std::uint16_t> ParsePort(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return port;
}

bool IsLoopback(std::string_view address) {
  if (IsUnixSocket(address)) return true;
  const std::string host(SplitHostPort(address).host);
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
