// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_NET_ACCEPTOR_H_
#define TENSORFERRY_SERVER_NET_ACCEPTOR_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <thread>

#include "lib/files/unique_fd.h"
#include "server/net/listening_sockets.h"

namespace tensorferry::server {

// Accepts connections, on its own thread, until it is destroyed. If descriptors are short, closes new connections at
// once. gRPC's own listeners have no limit, and stop for good once there is no descriptor left (CVE-2023-4785).
// Safe for concurrent use by multiple threads.
class Acceptor {
 public:
  // Receives a non-blocking connection and the listening socket that it came from.
  using Handler = std::function<void(UniqueFd connection, int socket)>;

  // Reserves an eighth of the process's descriptors, and at least 16, for files and other uses.
  Acceptor(ListeningSockets sockets, Handler handler);
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;
  ~Acceptor();

 private:
  using Clock = std::chrono::steady_clock;

  void Run(const std::stop_token& stop);
  // Accepts the pending connections of a socket, up to a limit. Returns false if one could neither be accepted nor
  // closed.
  bool AcceptPending(int socket);
  // Frees the spare descriptor, accepts one connection and closes it. Returns false if that failed.
  bool RefuseOne(int socket);
  void CountRefused();
  // Waits for connections; without `sockets`, for kPauseMs.
  void Wait(bool sockets);

  const ListeningSockets sockets_;
  const Handler handler_;
  // Connections with this descriptor or a higher one are refused. The system assigns the lowest free descriptor, so
  // at least this many are in use then.
  const int max_descriptor_;
  UniqueFd spare_;       // freed to accept and close a connection
  const UniqueFd wake_;  // an eventfd
  std::int64_t refused_ = 0;
  Clock::time_point last_warning_;
  std::jthread thread_;  // the last member, so that it ends first
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_NET_ACCEPTOR_H_
