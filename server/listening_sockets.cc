// SPDX-License-Identifier: Apache-2.0
#include "server/listening_sockets.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "lib/security/loopback.h"
#include "server/listen_address.h"
#include "tensorferry/quote.h"

namespace tensorferry::server {
namespace {

// A socket address of any family.
struct SocketAddress {
  sockaddr_storage storage = {};
  socklen_t size = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
  in_port_t& port() {
    return storage.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(storage).sin6_port
                                         : reinterpret_cast<sockaddr_in&>(storage).sin_port;
  }
};

std::string ErrorText(int error_number) { return std::generic_category().message(error_number); }

// What follows the prefix, if that is what `text` begins with.
std::optional<std::string_view> After(std::string_view prefix, std::string_view text) {
  if (!text.starts_with(prefix)) return std::nullopt;
  return text.substr(prefix.size());
}

// A path for the file system, or with a NUL before it a name in the abstract namespace.
absl::StatusOr<SocketAddress> UnixAddress(std::string_view path) {
  SocketAddress address;
  auto& unix_address = reinterpret_cast<sockaddr_un&>(address.storage);
  if (path.size() >= sizeof(unix_address.sun_path)) {
    return absl::InvalidArgumentError(
        fmt::format("the path has {} bytes, at most {} are possible", path.size(), sizeof(unix_address.sun_path) - 1));
  }
  unix_address.sun_family = AF_UNIX;
  std::memcpy(unix_address.sun_path, path.data(), path.size());
  address.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (path.front() == '\0' ? 0 : 1));
  return address;
}

absl::StatusOr<std::vector<SocketAddress>> Resolve(std::string_view address) {
  address = WithoutScheme(address);
  const std::size_t colon = address.rfind(':');
  std::string host(address.substr(0, colon));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const std::string port(address.substr(colon + 1));
  addrinfo hints = {};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0) {
    return absl::InvalidArgumentError(::gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, ::freeaddrinfo);
  std::vector<SocketAddress> addresses;
  for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
    SocketAddress& added = addresses.emplace_back();
    std::memcpy(&added.storage, info->ai_addr, info->ai_addrlen);
    added.size = info->ai_addrlen;
  }
  return addresses;
}

// 0 if there is nothing.
std::uint64_t InodeOf(const std::string& path) {
  struct stat stat = {};
  return ::lstat(path.c_str(), &stat) == 0 ? stat.st_ino : 0;
}

// A socket that listens there, or nothing with errno.
UniqueFd Listen(const SocketAddress& address) {
  const int family = address.get()->sa_family;
  UniqueFd fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.ok()) return fd;
  const int on = 1;
  if (family != AF_UNIX) {
    // Not SO_REUSEPORT: two servers on one port would share its connections by chance.
    ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    // Connections inherit it.
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }
  if (::bind(fd.get(), address.get(), address.size) != 0 || ::listen(fd.get(), SOMAXCONN) != 0) {
    const int error = errno;
    fd = UniqueFd();
    errno = error;
  }
  return fd;
}

in_port_t PortOf(const UniqueFd& socket) {
  SocketAddress address;
  address.size = sizeof(address.storage);
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address.storage), &address.size);
  return address.port();
}

}  // namespace

absl::StatusOr<ListeningSockets> ListeningSockets::Open(const std::string& address) {
  const auto error = [&](absl::StatusCode code, std::string_view reason) {
    return absl::Status(code, fmt::format("cannot listen on {}: {}", Quote(address), reason));
  };
  ListeningSockets result;
  absl::StatusOr<std::vector<SocketAddress>> addresses;
  if (IsUnixSocket(address)) {
    std::string path;
    if (const auto name = After("unix-abstract:", address)) {
      path = '\0' + std::string(*name);
    } else {
      path = After("unix://", address).value_or(*After("unix:", address));
      struct stat stat = {};
      if (::lstat(path.c_str(), &stat) == 0 && S_ISSOCK(stat.st_mode)) ::unlink(path.c_str());
    }
    absl::StatusOr<SocketAddress> unix_address = UnixAddress(path);
    if (unix_address.ok()) addresses = std::vector{*unix_address};
    if (!unix_address.ok()) addresses = unix_address.status();
    if (path.front() != '\0') result.unix_path_ = std::move(path);
  } else {
    addresses = Resolve(address);
  }
  if (!addresses.ok()) return error(addresses.status().code(), std::string(addresses.status().message()));

  int last_error = 0;
  in_port_t port = 0;
  for (SocketAddress& each : *addresses) {
    const bool is_unix = each.get()->sa_family == AF_UNIX;
    if (!is_unix && port != 0) each.port() = port;
    UniqueFd socket = Listen(each);
    if (!socket.ok()) {
      last_error = errno;
      // A name may stand for an address of a family that this machine does not have.
      if (last_error == EADDRNOTAVAIL || last_error == EAFNOSUPPORT) continue;
      break;
    }
    if (!is_unix) port = PortOf(socket);
    result.sockets_.push_back(std::move(socket));
    last_error = 0;
  }
  const bool failed = last_error != 0 && last_error != EADDRNOTAVAIL && last_error != EAFNOSUPPORT;
  if (failed || result.sockets_.empty()) {
    result.unix_path_.clear();  // what is there is not ours
    return error(absl::StatusCode::kUnavailable, ErrorText(last_error));
  }
  result.port_ = ntohs(port);
  if (!result.unix_path_.empty()) result.unix_inode_ = InodeOf(result.unix_path_);
  return result;
}

ListeningSockets::~ListeningSockets() {
  if (!unix_path_.empty() && InodeOf(unix_path_) == unix_inode_) ::unlink(unix_path_.c_str());
}

}  // namespace tensorferry::server
