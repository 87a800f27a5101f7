// SPDX-License-Identifier: Apache-2.0
#include "server/net/listen_address.h"

#include <fmt/format.h>

#include "lib/net/endpoint.h"
#include "lib/text/quote.h"

namespace tensorferry::server {

absl::Status CheckListenAddress(std::string_view address) {
  const auto error = [&](std::string_view reason) {
    return absl::InvalidArgumentError(fmt::format("cannot listen on {}: {}", Quote(address), reason));
  };
  if (IsUnixSocket(address)) {
    // gRPC's clients would parse the part after unix:// as a host.
    if (address.starts_with("unix://") && !address.starts_with("unix:///")) {
      return error("the path after unix:// must be absolute");
    }
    return address.find(':') + 1 == address.size() ? error("no path") : absl::OkStatus();
  }
  const auto [host, port] = SplitHostPort(address);
  if (host.empty() || port.empty()) return error("give host:port, [ipv6]:port or unix:PATH");
  if (!ParsePort(port)) return error("the port must be a number, 0 to 65535");
  return absl::OkStatus();
}

std::string UnixPath(std::string_view address) {
  const std::string_view path = address.substr(address.find(':') + 1);
  if (address.starts_with("unix-abstract:")) return '\0' + std::string(path);
  return std::string(path.starts_with("///") ? path.substr(2) : path);
}

std::string WithPort(std::string_view address, int port) {
  if (IsUnixSocket(address)) return std::string(address);
  return std::string(address.substr(0, address.rfind(':') + 1)) + std::to_string(port);
}

}  // namespace tensorferry::server
