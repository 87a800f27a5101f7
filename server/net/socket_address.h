// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_NET_SOCKET_ADDRESS_H_
#define TENSORFERRY_SERVER_NET_SOCKET_ADDRESS_H_

#include <sys/socket.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tensorferry::server {

// What a socket is bound or connected to, of any family. A value.
class SocketAddress {
 public:
  // `size` is at most that of a sockaddr_storage.
  SocketAddress(const sockaddr* address, socklen_t size);

  // What `address`, one that CheckListenAddress takes, stands for: several, if it is a name that does. May ask DNS.
  // Errors: INVALID_ARGUMENT: the name cannot be resolved, the path is too long.
  static absl::StatusOr<std::vector<SocketAddress>> Resolve(std::string_view address);

  // What a socket is bound to.
  static SocketAddress OfSocket(int socket);

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size() const { return size_; }
  int family() const { return storage_.ss_family; }

  // 0 for unix sockets, which have none.
  int port() const;
  // The same with another port. Not for unix sockets.
  SocketAddress WithPort(int port) const;
  // The file of a unix socket; empty if this is of another family, or a name in the abstract namespace.
  std::string unix_path() const;

  // Where this machine reaches who listens here, the first that works: this, or loopback if this stands for all
  // addresses of its family.
  std::vector<SocketAddress> WaysThere() const;

  // host:port or [ipv6]:port, in numbers, unix:PATH or unix-abstract:NAME.
  std::string ToString() const;

 private:
  sockaddr_storage storage_ = {};
  socklen_t size_ = 0;
};

// What the system calls an errno.
std::string ErrorText(int error_number);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_NET_SOCKET_ADDRESS_H_
