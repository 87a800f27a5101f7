// SPDX-License-Identifier: Apache-2.0
#include "server/net/listening_sockets.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "lib/text/quote.h"

namespace tensorferry::server {
namespace {

// Returns 0 if there is no such file.
std::uint64_t InodeOf(const std::string& path) {
  struct stat stat = {};
  return ::lstat(path.c_str(), &stat) == 0 ? stat.st_ino : 0;
}

bool IsSocket(const std::string& path) {
  struct stat stat = {};
  return ::lstat(path.c_str(), &stat) == 0 && S_ISSOCK(stat.st_mode);
}

// Returns a socket that is bound to the address, or an invalid descriptor and errno.
UniqueFd Bind(const SocketAddress& address) {
  UniqueFd fd(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.ok()) return fd;
  const int on = 1;
  if (address.family() != AF_UNIX) {
    // Not SO_REUSEPORT: two servers on one port would share its connections by chance.
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    // Connections inherit it.
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  if (::bind(fd.get(), address.get(), address.size()) != 0) {
    const int error = errno;
    fd = UniqueFd();
    errno = error;
  }
  return fd;
}

// Returns a listening socket, or an invalid descriptor and errno.
UniqueFd Listen(const SocketAddress& address) {
  UniqueFd fd = Bind(address);
  if (fd.ok() && ::listen(fd.get(), SOMAXCONN) != 0) {
    const int error = errno;
    fd = UniqueFd();
    errno = error;
  }
  return fd;
}

// Returns true if this machine does not have the address, or not its family. Another address of the same name may work.
bool IsNotHere(int error_number) { return error_number == EADDRNOTAVAIL || error_number == EAFNOSUPPORT; }

// Returns the errno of binding a socket to the address, or 0.
int CheckBind(const SocketAddress& address) {
  const std::string path = address.unix_path();
  if (address.family() != AF_UNIX) return Bind(address).ok() ? 0 : errno;
  // Binding would create the file. An existing socket is replaced later.
  if (path.empty()) return 0;
  if (IsSocket(path)) return 0;
  if (InodeOf(path) != 0) return EADDRINUSE;
  const std::string directory = std::filesystem::path(path).parent_path().string();
  return ::access(directory.empty() ? "." : directory.c_str(), W_OK | X_OK) == 0 ? 0 : errno;
}

absl::Status ListenError(const std::string& address, absl::StatusCode code, const std::string& reason) {
  return absl::Status(code, fmt::format("cannot listen on {}: {}", Quote(address), reason));
}

absl::StatusOr<std::vector<SocketAddress>> Resolve(const std::string& address) {
  absl::StatusOr<std::vector<SocketAddress>> addresses = SocketAddress::Resolve(address);
  if (addresses.ok()) return addresses;
  return ListenError(address, addresses.status().code(), std::string(addresses.status().message()));
}

}  // namespace

absl::StatusOr<ListeningSockets> ListeningSockets::Open(const std::string& address) {
  const absl::StatusOr<std::vector<SocketAddress>> addresses = Resolve(address);
  if (!addresses.ok()) return addresses.status();
  ListeningSockets result;
  int last_error = 0;
  for (const SocketAddress& each : *addresses) {
    // Removes the socket of an earlier server. Other files stay, and cause an error.
    if (IsSocket(each.unix_path())) ::unlink(each.unix_path().c_str());
    UniqueFd socket = Listen(result.port() == 0 ? each : each.WithPort(result.port()));
    if (!socket.ok()) {
      last_error = errno;
      if (IsNotHere(last_error)) continue;
      return ListenError(address, absl::StatusCode::kUnavailable, ErrorText(last_error));
    }
    result.addresses_.push_back(SocketAddress::OfSocket(socket.get()));
    result.sockets_.push_back(std::move(socket));
  }
  if (result.sockets_.empty()) return ListenError(address, absl::StatusCode::kUnavailable, ErrorText(last_error));
  result.unix_inode_ = InodeOf(result.unix_path());
  return result;
}

absl::Status ListeningSockets::Check(const std::string& address) {
  const absl::StatusOr<std::vector<SocketAddress>> addresses = Resolve(address);
  if (!addresses.ok()) return addresses.status();
  bool any = false;
  int last_error = 0;
  for (const SocketAddress& each : *addresses) {
    const int error = CheckBind(each);
    any = any || error == 0;
    if (error == 0) continue;
    last_error = error;
    if (!IsNotHere(error)) return ListenError(address, absl::StatusCode::kUnavailable, ErrorText(error));
  }
  if (any) return absl::OkStatus();
  return ListenError(address, absl::StatusCode::kUnavailable, ErrorText(last_error));
}

ListeningSockets::~ListeningSockets() {
  const std::string path = unix_path();
  if (!path.empty() && InodeOf(path) == unix_inode_) ::unlink(path.c_str());
}

}  // namespace tensorferry::server
