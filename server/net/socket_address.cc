// SPDX-License-Identifier: Apache-2.0
#include "server/net/socket_address.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <system_error>

#include "absl/status/status.h"
#include "lib/net/endpoint.h"
#include "server/net/listen_address.h"

namespace tensorferry::server {
namespace {

constexpr std::size_t kPathOffset = offsetof(sockaddr_un, sun_path);

template <typename Address>
SocketAddress Of(const Address& address) {
  return SocketAddress(reinterpret_cast<const sockaddr*>(&address), sizeof(address));
}

// Returns the address in the type of its family.
template <typename Address>
Address As(const SocketAddress& address) {
  Address result;
  std::memcpy(&result, address.get(), sizeof(result));
  return result;
}

absl::StatusOr<std::vector<SocketAddress>> OfUnix(const std::string& path) {
  sockaddr_un address = {};
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError(
        fmt::format("the path is {} bytes long, the limit is {}", path.size(), sizeof(address.sun_path) - 1));
  }
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  // A path ends with a NUL. A name in the abstract namespace begins with one, and the size is its end.
  const std::size_t size = kPathOffset + path.size() + (path.starts_with('\0') ? 0 : 1);
  return std::vector{SocketAddress(reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(size))};
}

absl::StatusOr<std::vector<SocketAddress>> OfHost(const std::string& host, const std::string& port) {
  addrinfo hints = {};
  hints.ai_flags = AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0) {
    return absl::InvalidArgumentError(::gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, ::freeaddrinfo);
  std::vector<SocketAddress> addresses;
  for (const addrinfo* info = found; info != nullptr; info = info->ai_next) {
    addresses.emplace_back(info->ai_addr, info->ai_addrlen);
  }
  return addresses;
}

}  // namespace

SocketAddress::SocketAddress(const sockaddr* address, socklen_t size) : size_(size) {
  std::memcpy(&storage_, address, size);
}

absl::StatusOr<std::vector<SocketAddress>> SocketAddress::Resolve(std::string_view address) {
  if (IsUnixSocket(address)) return OfUnix(UnixPath(address));
  const HostPort split = SplitHostPort(address);
  return OfHost(std::string(split.host), std::string(split.port));
}

SocketAddress SocketAddress::OfSocket(int socket) {
  sockaddr_storage storage = {};
  socklen_t size = sizeof(storage);
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&storage), &size);
  return SocketAddress(reinterpret_cast<const sockaddr*>(&storage), size);
}

int SocketAddress::port() const {
  if (family() == AF_INET) return ntohs(As<sockaddr_in>(*this).sin_port);
  return family() == AF_INET6 ? ntohs(As<sockaddr_in6>(*this).sin6_port) : 0;
}

SocketAddress SocketAddress::WithPort(int port) const {
  const in_port_t in_network_order = htons(static_cast<std::uint16_t>(port));
  if (family() == AF_INET) {
    auto address = As<sockaddr_in>(*this);
    address.sin_port = in_network_order;
    return Of(address);
  }
  auto address = As<sockaddr_in6>(*this);
  address.sin6_port = in_network_order;
  return Of(address);
}

std::string SocketAddress::unix_path() const {
  return family() == AF_UNIX ? As<sockaddr_un>(*this).sun_path : std::string();
}

std::vector<SocketAddress> SocketAddress::LocalTargets() const {
  if (family() == AF_INET) {
    auto address = As<sockaddr_in>(*this);
    if (address.sin_addr.s_addr == htonl(INADDR_ANY)) address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return {Of(address)};
  }
  if (family() != AF_INET6) return {*this};
  auto ipv6 = As<sockaddr_in6>(*this);
  if (!IN6_IS_ADDR_UNSPECIFIED(&ipv6.sin6_addr)) return {*this};
  ipv6.sin6_addr = in6addr_loopback;
  // Containers often have no ::1, although IPv6 sockets work. The listening socket is then reached over IPv4.
  auto ipv4 = ipv6;
  ipv4.sin6_addr = {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1}}};
  return {Of(ipv6), Of(ipv4)};
}

std::string SocketAddress::ToString() const {
  if (family() == AF_UNIX) {
    if (const std::string path = unix_path(); !path.empty()) return "unix:" + path;
    const auto address = As<sockaddr_un>(*this);
    return "unix-abstract:" + std::string(address.sun_path, size_ - kPathOffset).erase(0, 1);
  }
  char host[NI_MAXHOST] = {};
  ::getnameinfo(get(), size_, host, sizeof(host), nullptr, 0, NI_NUMERICHOST);
  return family() == AF_INET6 ? fmt::format("[{}]:{}", host, port()) : fmt::format("{}:{}", host, port());
}

std::string ErrorText(int error_number) { return std::generic_category().message(error_number); }

}  // namespace tensorferry::server
