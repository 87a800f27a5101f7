// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_ADMIN_TIMED_STREAM_H_
#define TENSORFERRY_SERVER_ADMIN_TIMED_STREAM_H_

#include <httplib.h>
#include <poll.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>

namespace tensorferry::server {

// A connection of the admin server, with a limit for its total time and for the bytes that it may send. httplib's own
// stream has a timeout for each read, and no limit for all of them.
class TimedStream final : public httplib::Stream {
 public:
  // Does not own `socket`. While `others_wait` returns true, the time is kTimeInACrowd.
  TimedStream(int socket, std::function<bool()> others_wait) : socket_(socket), others_wait_(std::move(others_wait)) {}

  bool is_readable() const override { return begin_ < end_ || Wait(POLLIN); }
  bool is_writable() const override { return Wait(POLLOUT); }
  // Both return -1 after the time limit; read() also beyond the limit of bytes.
  ssize_t read(char* data, std::size_t size) override;
  ssize_t write(const char* data, std::size_t size) override;
  // Not used by httplib's server.
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  int socket() const override { return socket_; }

 private:
  static constexpr std::chrono::milliseconds kTime{10'000};
  static constexpr std::chrono::milliseconds kTimeInACrowd{10};
  static constexpr std::size_t kMaxBytes = 16 << 10;

  // Waits until the socket is ready for `events`. Returns false after the time limit or an error.
  bool Wait(short events) const;

  const int socket_;
  const std::function<bool()> others_wait_;
  const std::chrono::steady_clock::time_point begin_time_ = std::chrono::steady_clock::now();
  std::size_t received_ = 0;
  // Received bytes that were not read yet. Buffered because httplib reads single bytes.
  std::array<char, 4096> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_ADMIN_TIMED_STREAM_H_
