// SPDX-License-Identifier: Apache-2.0
#include "client/channel/server_address.h"

#include <fmt/format.h>

#include <cstddef>

#include "absl/status/status.h"
#include "lib/net/endpoint.h"
#include "lib/text/quote.h"

namespace tensorferry {
namespace {

constexpr std::string_view kScheme = "tensorferry://";
constexpr std::string_view kDefaultPort = "7070";

}  // namespace

absl::StatusOr<std::string> ParseServerAddress(std::string_view address) {
  const std::string_view given = address;
  if (IsUnixSocket(address)) return std::string(address);
  if (address.starts_with(kScheme)) {
    address.remove_prefix(kScheme.size());
    if (address.ends_with('/')) address.remove_suffix(1);
  }
  if (address.empty()) return absl::InvalidArgumentError("an address is empty: give host:port");
  if (const std::size_t scheme = address.find("://"); scheme != std::string_view::npos) {
    if (address.starts_with("dns://") && !address.starts_with("dns:///")) return std::string(address);
    if (!address.starts_with("dns:///")) {
      return absl::InvalidArgumentError(fmt::format("address {}: give host:port or tensorferry://host:port, not {}://",
                                                    Quote(given), Escape(address.substr(0, scheme))));
    }
  }
  const HostPort parts = SplitHostPort(address);
  // Several addresses in one, and malformed brackets, are left to gRPC.
  if (parts.host.starts_with('[') || address.find(',') != std::string_view::npos) return std::string(address);
  if (parts.host.empty()) {
    return absl::InvalidArgumentError(fmt::format("address {}: the host is missing: give host:port", Quote(given)));
  }
  if (!parts.port.empty()) {
    if (ParsePort(parts.port).value_or(0) == 0) {
      return absl::InvalidArgumentError(fmt::format("address {}: the port must be a number, 1 to 65535", Quote(given)));
    }
    return std::string(address);
  }
  std::string_view prefix = address.substr(0, static_cast<std::size_t>(parts.host.data() - address.data()));
  if (prefix.ends_with('[')) prefix.remove_suffix(1);
  const bool is_ipv6 = parts.host.find(':') != std::string_view::npos;
  return fmt::format("{}{}{}{}:{}", prefix, is_ipv6 ? "[" : "", parts.host, is_ipv6 ? "]" : "", kDefaultPort);
}

}  // namespace tensorferry
