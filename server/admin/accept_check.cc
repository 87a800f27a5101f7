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

// Waits for one of the events. Returns false if none arrives before the deadline.
bool Wait(int fd, short events, Clock::time_point deadline) {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd event = {.fd = fd, .events = events, .revents = 0};
    const int ready = ::poll(&event, 1, std::max(0, static_cast<int>(left.count())));
    if (ready >= 0 || errno != EINTR) return ready > 0;
  }
}

// Returns the fault of an address, or nothing.
std::string FindFault(const SocketAddress& address, Clock::time_point deadline) {
  const UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.ok()) return ErrorText(errno);
  if (::connect(fd.get(), address.get(), address.size()) != 0) {
    if (errno != EINPROGRESS) return ErrorText(errno);
    if (!Wait(fd.get(), POLLOUT, deadline)) return "cannot connect in time";
    int error = 0;
    socklen_t size = sizeof(error);
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return ErrorText(error);
  }
  // The system connects even if the server does not accept. A server that accepts sends a greeting in plaintext, and
  // with TLS closes a connection whose client has nothing to send.
  ::shutdown(fd.get(), SHUT_WR);
  if (!Wait(fd.get(), POLLIN, deadline)) return "a new connection is not accepted in time";
  return "";
}

}  // namespace

absl::Status CheckAccepts(const std::vector<SocketAddress>& addresses, std::chrono::milliseconds timeout) {
  const Clock::time_point deadline = Clock::now() + timeout;
  for (const SocketAddress& address : addresses) {
    std::string fault;
    for (const SocketAddress& target : address.LocalTargets()) {
      fault = FindFault(target, deadline);
      if (fault.empty() || Clock::now() >= deadline) break;
    }
    if (!fault.empty()) return absl::UnavailableError(fmt::format("{}: {}", Quote(address.ToString()), fault));
  }
  return absl::OkStatus();
}

}  // namespace tensorferry::server
