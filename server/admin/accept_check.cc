// SPDX-License-Identifier: Apache-2.0
#include "server/admin/accept_check.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <system_error>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/security/loopback.h"
#include "server/listen_address.h"
#include "tensorferry/files/unique_fd.h"
#include "tensorferry/quote.h"

namespace tensorferry::server {
namespace {

using Clock = std::chrono::steady_clock;

struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t size = 0;
};

absl::StatusOr<std::vector<SocketAddress>> UnixAddresses(const std::string& address) {
  SocketAddress result;
  sockaddr_un unix_address = {.sun_family = AF_UNIX, .sun_path = {}};
  const bool abstract = address.starts_with("unix-abstract:");
  std::string path = address.substr(address.find(':') + 1);
  if (!abstract && path.starts_with("///")) path.erase(0, 2);
  if (abstract) path.insert(path.begin(), '\0');
  if (path.size() >= sizeof(unix_address.sun_path)) return absl::UnavailableError("its path is too long");
  std::ranges::copy(path, unix_address.sun_path);
  result.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0 : 1));
  std::memcpy(&result.storage, &unix_address, sizeof(unix_address));
  return std::vector{result};
}

// What a host and a port stand for. For all addresses gRPC takes IPv6's, which IPv4's clients reach, too, or those of
// IPv4 where there is no IPv6.
absl::StatusOr<std::vector<SocketAddress>> NetworkAddresses(std::string_view listen_address) {
  const std::string address(WithoutScheme(listen_address));
  const std::size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  const bool all = host == "*" || host == "::";
  const addrinfo hints = {.ai_flags = AI_NUMERICSERV,
                          .ai_family = AF_UNSPEC,
                          .ai_socktype = SOCK_STREAM,
                          .ai_protocol = 0,
                          .ai_addrlen = 0,
                          .ai_addr = nullptr,
                          .ai_canonname = nullptr,
                          .ai_next = nullptr};
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(all ? nullptr : host.c_str(), address.c_str() + colon + 1, &hints, &found);
      error != 0) {
    return absl::UnavailableError(::gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(found, &::freeaddrinfo);
  std::vector<SocketAddress> addresses;
  for (; found != nullptr; found = found->ai_next) {
    SocketAddress& added = addresses.emplace_back();
    std::memcpy(&added.storage, found->ai_addr, found->ai_addrlen);
    added.size = found->ai_addrlen;
  }
  return addresses;
}

// Waits for one of the events; false if none comes in time.
bool Wait(int fd, short events, Clock::time_point deadline) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd event = {.fd = fd, .events = events, .revents = 0};
    const int ready = ::poll(&event, 1, std::max(0, static_cast<int>(left.count())));
    if (ready >= 0 || errno != EINTR) return ready > 0;
  }
}

std::string ErrorText(int error) { return std::generic_category().message(error); }

// What is wrong, or nothing.
std::string WhatIsWrong(const SocketAddress& address, Clock::time_point deadline) {
  const UniqueFd fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.ok()) return ErrorText(errno);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0) {
    if (errno != EINPROGRESS) return ErrorText(errno);
    if (!Wait(fd.get(), POLLOUT, deadline)) return "it cannot be connected to in time";
    int error = 0;
    socklen_t size = sizeof(error);
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return ErrorText(error);
  }
  // So far this is the system's doing. A server that has accepted greets, in plaintext, or closes, with TLS, whoever
  // says nothing.
  ::shutdown(fd.get(), SHUT_WR);
  if (!Wait(fd.get(), POLLIN, deadline)) return "a new connection is not accepted in time";
  return "";
}

}  // namespace

absl::Status CheckAccepts(const std::string& address, std::chrono::milliseconds timeout) {
  const Clock::time_point deadline = Clock::now() + timeout;
  const absl::StatusOr<std::vector<SocketAddress>> addresses =
      IsUnixSocket(address) ? UnixAddresses(address) : NetworkAddresses(address);
  std::string fault(addresses.status().message());
  if (addresses.ok()) {
    // It listens at one of them at least.
    for (const SocketAddress& one : *addresses) {
      fault = WhatIsWrong(one, deadline);
      if (fault.empty()) return absl::OkStatus();
    }
  }
  return absl::UnavailableError(fmt::format("{}: {}", Quote(address), fault));
}

}  // namespace tensorferry::server
