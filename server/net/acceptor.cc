// SPDX-License-Identifier: Apache-2.0
#include "server/net/acceptor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>
#include <vector>

#include "server/log/log.h"

namespace tensorferry::server {
namespace {

constexpr std::chrono::seconds kWarningInterval(10);
constexpr int kPauseMs = 100;

int MaxDescriptor() {
  rlimit limit = {};
  constexpr rlim_t kMost = std::numeric_limits<int>::max();
  const rlim_t most = ::getrlimit(RLIMIT_NOFILE, &limit) == 0 ? std::min(limit.rlim_cur, kMost) : kMost;
  return static_cast<int>(most - std::min(most, std::max<rlim_t>(most / 8, 16)));
}

UniqueFd OpenSpare() { return UniqueFd(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

UniqueFd Accept(int socket) { return UniqueFd(::accept4(socket, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)); }

}  // namespace

Acceptor::Acceptor(ListeningSockets sockets, Handler handler)
    : sockets_(std::move(sockets)),
      handler_(std::move(handler)),
      max_descriptor_(MaxDescriptor()),
      spare_(OpenSpare()),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_([this](const std::stop_token& stop) { Run(stop); }) {}

Acceptor::~Acceptor() {
  thread_.request_stop();
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof(one));
}

void Acceptor::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    bool all_done = true;
    for (const UniqueFd& socket : sockets_.sockets()) all_done = AcceptPending(socket.get()) && all_done;
    Wait(all_done);
  }
}

bool Acceptor::AcceptPending(int socket) {
  // Limited, so that other sockets and the end of the thread get their turn.
  constexpr int kMaxConnections = 64;
  for (int i = 0; i < kMaxConnections; ++i) {
    UniqueFd connection = Accept(socket);
    if (connection.ok()) {
      if (connection.get() < max_descriptor_) {
        handler_(std::move(connection), socket);
      } else {
        CountRefused();
      }
      continue;
    }
    switch (errno) {
      case EAGAIN:
        return true;
      case EMFILE:
      case ENFILE:
        if (!RefuseOne(socket)) return false;
        break;
      case EINTR:
      case ECONNABORTED:
      case EPERM:
      case EPROTO:
      case ETIMEDOUT:
        break;  // this connection is gone; try the next one
      default:
        return false;
    }
  }
  return true;
}

bool Acceptor::RefuseOne(int socket) {
  spare_ = UniqueFd();
  const bool refused = Accept(socket).ok();
  spare_ = OpenSpare();
  CountRefused();
  return refused;
}

void Acceptor::CountRefused() {
  ++refused_;
  const Clock::time_point now = Clock::now();
  if (last_warning_ != Clock::time_point() && now - last_warning_ < kWarningInterval) return;
  last_warning_ = now;
  LogWarning("connections refused, out of file descriptors",
             {{"connections", refused_}, {"descriptors", max_descriptor_}});
  refused_ = 0;
}

void Acceptor::Wait(bool sockets) {
  std::vector<pollfd> events = {{wake_.get(), POLLIN, 0}};
  if (sockets) {
    for (const UniqueFd& socket : sockets_.sockets()) events.push_back({socket.get(), POLLIN, 0});
  }
  ::poll(events.data(), events.size(), sockets ? -1 : kPauseMs);
}

}  // namespace tensorferry::server
