// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_NET_LISTENING_SOCKETS_H_
#define TENSORFERRY_SERVER_NET_LISTENING_SOCKETS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/files/unique_fd.h"
#include "server/net/socket_address.h"

namespace tensorferry::server {

// The non-blocking sockets that listen on one address; a host name may resolve to several. The destructor closes them,
// and removes the file of a unix socket unless another server has replaced it. Not safe for concurrent use.
class ListeningSockets {
 public:
  // `address` must be valid by CheckListenAddress(). Port 0: the system chooses one, the same for all sockets. Replaces
  // an existing unix socket. Errors: INVALID_ARGUMENT: the name cannot be resolved, the path is too long; UNAVAILABLE:
  // the address is in use, or not one of this machine.
  static absl::StatusOr<ListeningSockets> Open(const std::string& address);

  // Finds errors of Open() in advance, and leaves no trace: an existing unix socket stays, and no client can connect.
  // Errors: those of Open(), as far as they can be known.
  static absl::Status Check(const std::string& address);

  ListeningSockets(ListeningSockets&&) = default;
  ListeningSockets& operator=(ListeningSockets&&) = delete;
  ~ListeningSockets();

  const std::vector<UniqueFd>& sockets() const { return sockets_; }
  // Returns the addresses that they are bound to, in the same order.
  const std::vector<SocketAddress>& addresses() const { return addresses_; }
  // 0 for unix sockets.
  int port() const { return addresses_.empty() ? 0 : addresses_.front().port(); }

 private:
  ListeningSockets() = default;

  // Returns the path of the unix socket's file; empty if there is none.
  std::string unix_path() const { return addresses_.empty() ? std::string() : addresses_.front().unix_path(); }

  std::vector<UniqueFd> sockets_;
  std::vector<SocketAddress> addresses_;
  std::uint64_t unix_inode_ = 0;  // of the unix socket's file
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_NET_LISTENING_SOCKETS_H_
