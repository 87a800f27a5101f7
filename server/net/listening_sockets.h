// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_NET_LISTENING_SOCKETS_H_
#define TENSORFERRY_SERVER_NET_LISTENING_SOCKETS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/files/unique_fd.h"
#include "server/net/socket_address.h"

namespace tensorferry::server {

// The sockets that listen at one address: a name may stand for several. They do not block. Closes them, and removes the
// file of a unix socket unless another server has replaced it, when it is destroyed. Not safe for concurrent use.
class ListeningSockets {
 public:
  // `address` is one that CheckListenAddress takes. Port 0 lets the system choose one, the same for all of them. A unix
  // socket that is there already is replaced.
  // Errors: INVALID_ARGUMENT: the name cannot be resolved, the path is too long; UNAVAILABLE: in use, not ours.
  static absl::StatusOr<ListeningSockets> Open(const std::string& address);

  ListeningSockets(ListeningSockets&&) = default;
  ListeningSockets& operator=(ListeningSockets&&) = delete;
  ~ListeningSockets();

  const std::vector<UniqueFd>& sockets() const { return sockets_; }
  // What they are bound to, in the same order.
  const std::vector<SocketAddress>& addresses() const { return addresses_; }
  // 0 for unix sockets.
  int port() const { return addresses_.empty() ? 0 : addresses_.front().port(); }

 private:
  ListeningSockets() = default;

  // Of the unix socket's file; empty if there is none.
  std::string unix_path() const { return addresses_.empty() ? std::string() : addresses_.front().unix_path(); }

  std::vector<UniqueFd> sockets_;
  std::vector<SocketAddress> addresses_;
  std::uint64_t unix_inode_ = 0;  // of the unix socket's file
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_NET_LISTENING_SOCKETS_H_
