// SPDX-License-Identifier: Apache-2.0
#include "server/admin/timed_stream.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace tensorferry::server {

bool TimedStream::Wait(short events) const {
  using std::chrono::steady_clock;
  while (true) {
    pollfd event = {.fd = socket_, .events = events, .revents = 0};
    // In short steps, because others may begin to wait.
    const int ready = ::poll(&event, 1, static_cast<int>(kTimeInACrowd.count()));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
    const auto time = steady_clock::now() - begin_time_;
    if (time >= kTime || (time >= kTimeInACrowd && others_wait_())) return false;
  }
}

ssize_t TimedStream::read(char* data, std::size_t size) {
  if (begin_ == end_) {
    if (received_ >= kMaxBytes || !Wait(POLLIN)) return -1;
    const ssize_t received = ::recv(socket_, buffer_.data(), buffer_.size(), MSG_DONTWAIT);
    if (received <= 0) return received;
    begin_ = 0;
    end_ = static_cast<std::size_t>(received);
    received_ += end_;
  }
  const std::size_t taken = std::min(size, end_ - begin_);
  std::memcpy(data, buffer_.data() + begin_, taken);
  begin_ += taken;
  return static_cast<ssize_t>(taken);
}

ssize_t TimedStream::write(const char* data, std::size_t size) {
  if (!Wait(POLLOUT)) return -1;
  return ::send(socket_, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace tensorferry::server
