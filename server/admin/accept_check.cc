// SPDX-License-Identifier: Apache-2.0
#include "server/admin/accept_check.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "lib/files/unique_fd.h"
#include "lib/text/quote.h"

namespace tensorferry::server {
namespace {

using Clock = std::chrono::steady_clock;

// Waits for one of the events; false if none comes in time.
bool Wait(int fd, short events, Clock::time_point deadline) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd event = {.fd = fd, .events = events, .revents = 0};
    const int ready = ::poll(&event, 1, std::max(0, static_cast<int>(left.count())));
    if (ready >= 0 || errno != EINTR) return ready > 0;
  }
}

// What is wrong, or nothing.
std::string WhatIsWrong(const SocketAddress& address, Clock::time_point deadline) {
  const UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.ok()) return ErrorText(errno);
  if (::connect(fd.get(), address.get(), address.size()) != 0) {
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

absl::Status CheckAccepts(const std::vector<SocketAddress>& addresses, std::chrono::milliseconds timeout) {
  const Clock::time_point deadline = Clock::now() + timeout;
  for (const SocketAddress& address : addresses) {
    std::string fault;
    for (const SocketAddress& way : address.WaysThere()) {
      fault = WhatIsWrong(way, deadline);
      if (fault.empty() || Clock::now() >= deadline) break;
    }
    if (!fault.empty()) return absl::UnavailableError(fmt::format("{}: {}", Quote(address.ToString()), fault));
  }
  return absl::OkStatus();
}

}  // namespace tensorferry::server
