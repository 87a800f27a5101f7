// SPDX-License-Identifier: Apache-2.0
#include "server/net/listening_sockets.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/status/status.h"
#include "lib/text/quote.h"

namespace tensorferry::server {
namespace {

// 0 if there is nothing.
std::uint64_t InodeOf(const std::string& path) {
  struct stat stat = {};
  return ::lstat(path.c_str(), &stat) == 0 ? stat.st_ino : 0;
}

// Removes the socket of a server that is gone. What is no socket stays.
void RemoveSocket(const std::string& path) {
  struct stat stat = {};
  if (::lstat(path.c_str(), &stat) == 0 && S_ISSOCK(stat.st_mode)) ::unlink(path.c_str());
}

// A socket that listens there, or nothing with errno.
UniqueFd Listen(const SocketAddress& address) {
  UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.ok()) return fd;
  const int on = 1;
  if (address.family() != AF_UNIX) {
    // Not SO_REUSEPORT: two servers on one port would share its connections by chance.
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    // Connections inherit it.
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  if (::bind(fd.get(), address.get(), address.size()) != 0 || ::listen(fd.get(), SOMAXCONN) != 0) {
    const int error = errno;
    fd = UniqueFd();
    errno = error;
  }
  return fd;
}

// Whether a name stands for an address of a family that this machine does not have, or has not now.
bool IsNotHere(int error_number) { return error_number == EADDRNOTAVAIL || error_number == EAFNOSUPPORT; }

}  // namespace

absl::StatusOr<ListeningSockets> ListeningSockets::Open(const std::string& address) {
  const auto error = [&](absl::StatusCode code, const std::string& reason) {
    return absl::Status(code, fmt::format("cannot listen on {}: {}", Quote(address), reason));
  };
  const absl::StatusOr<std::vector<SocketAddress>> addresses = SocketAddress::Resolve(address);
  if (!addresses.ok()) return error(addresses.status().code(), std::string(addresses.status().message()));

  ListeningSockets result;
  int last_error = 0;
  for (const SocketAddress& each : *addresses) {
    RemoveSocket(each.unix_path());
    UniqueFd socket = Listen(result.port() == 0 ? each : each.WithPort(result.port()));
    if (!socket.ok()) {
      last_error = errno;
      if (IsNotHere(last_error)) continue;
      return error(absl::StatusCode::kUnavailable, ErrorText(last_error));
    }
    result.addresses_.push_back(SocketAddress::OfSocket(socket.get()));
    result.sockets_.push_back(std::move(socket));
  }
  if (result.sockets_.empty()) return error(absl::StatusCode::kUnavailable, ErrorText(last_error));
  result.unix_inode_ = InodeOf(result.unix_path());
  return result;
}

ListeningSockets::~ListeningSockets() {
  const std::string path = unix_path();
  if (!path.empty() && InodeOf(path) == unix_inode_) ::unlink(path.c_str());
}

}  // namespace tensorferry::server
