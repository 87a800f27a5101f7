// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_NET_SOCKET_ADDRESS_H_
#define TENSORFERRY_SERVER_NET_SOCKET_ADDRESS_H_

#include <sys/socket.h>

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tensorferry::server {

// The address of a socket, of any family. A value.
class SocketAddress {
 public:
  // `size` is at most that of a sockaddr_storage.
  SocketAddress(const sockaddr* address, socklen_t size);

  // Resolves an address that is valid by CheckListenAddress(). A host name may give several addresses. May query DNS.
  // Errors: INVALID_ARGUMENT: the name cannot be resolved, the path is too long.
  static absl::StatusOr<std::vector<SocketAddress>> Resolve(std::string_view address);

  // Returns the address that a socket is bound to.
  static SocketAddress OfSocket(int socket);

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size() const { return size_; }
  int family() const { return storage_.ss_family; }

  // Returns 0 for unix sockets.
  int port() const;
  // Returns the address with another port. Not for unix sockets.
  SocketAddress WithPort(int port) const;
  // Returns the file of a unix socket; empty for other families, and for names in the abstract namespace.
  std::string unix_path() const;

  // Returns the addresses by which this machine reaches a server that listens on this one, to be tried in order: the
  // address itself, or loopback for 0.0.0.0 and ::.
  std::vector<SocketAddress> LocalTargets() const;

  // Returns host:port or [ipv6]:port, in numbers, unix:PATH or unix-abstract:NAME.
  std::string ToString() const;

 private:
  sockaddr_storage storage_ = {};
  socklen_t size_ = 0;
};

// Returns the system's text for an errno.
std::string ErrorText(int error_number);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_NET_SOCKET_ADDRESS_H_
