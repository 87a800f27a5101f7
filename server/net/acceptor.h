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

// Accepts connections, on a thread of its own, from when it is made until it is destroyed, and closes at once those for
// which there is no room. gRPC's own listeners end for good once there is no descriptor for a connection
// (CVE-2023-4785), and know no limit. Safe for concurrent use by multiple threads.
class Acceptor {
 public:
  // Is given a connection, which does not block, and the socket that it came from.
  using Take = std::function<void(UniqueFd connection, int socket)>;

  // Leaves free, of the descriptors that the process may have, an eighth, and at least 16, for files and whatever else.
  Acceptor(ListeningSockets sockets, Take take);
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;
  ~Acceptor();

 private:
  using Clock = std::chrono::steady_clock;

  void Run(const std::stop_token& stop);
  // Accepts what waits at a socket. Returns false if it could not even be refused.
  bool AcceptAll(int socket);
  // Makes room for one connection and closes it. Returns false if that was not possible.
  bool RefuseOne(int socket);
  void CountRefused();
  // Waits for connections, or without `sockets` for a while.
  void Wait(bool sockets);

  const ListeningSockets sockets_;
  const Take take_;
  // The first descriptor that is too many: the system always gives the lowest that is free, so one that is this high
  // means that at least this many are in use.
  const int max_descriptor_;
  UniqueFd spare_;       // to be given up for a connection that is to be closed
  const UniqueFd wake_;  // an eventfd
  std::int64_t refused_ = 0;
  Clock::time_point last_warning_;
  std::jthread thread_;  // the last member, so that it ends first
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_NET_ACCEPTOR_H_
