// SPDX-License-Identifier: Apache-2.0
#include "tests/benchmarks/http_download.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "absl/status/status.h"

namespace tensorferry::benchmarks {
namespace {

absl::Status Broken(std::string_view what) {
  return absl::UnavailableError(fmt::format("{}: {}", what, errno == 0 ? "closed" : std::strerror(errno)));
}

absl::Status SendAll(int socket, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(socket, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0) return Broken("cannot send the request");
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
  return absl::OkStatus();
}

// Receives at least one byte, or returns an error.
absl::StatusOr<std::size_t> Receive(int socket, std::span<std::byte> memory) {
  errno = 0;
  const ssize_t received = ::recv(socket, memory.data(), memory.size(), 0);
  if (received <= 0) return Broken("cannot receive the response");
  return static_cast<std::size_t>(received);
}

}  // namespace

absl::StatusOr<HttpConnection> HttpConnection::Open(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) return absl::InvalidArgumentError(fmt::format("\"{}\" is not host:port", address));
  const std::string host = address.substr(0, colon);
  const std::string port = address.substr(colon + 1);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0) {
    return absl::UnavailableError(fmt::format("cannot resolve \"{}\": {}", address, ::gai_strerror(error)));
  }
  UniqueFd socket(::socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, found->ai_protocol));
  const bool connected = socket.ok() && ::connect(socket.get(), found->ai_addr, found->ai_addrlen) == 0;
  const int error = errno;
  ::freeaddrinfo(found);
  errno = error;
  if (!connected) return Broken(fmt::format("cannot connect to {}", address));
  return HttpConnection(std::move(socket), host);
}

absl::Status HttpConnection::Get(const std::string& path, std::int64_t offset, std::span<std::byte> memory) {
  const auto size = static_cast<std::int64_t>(memory.size());
  const std::string request =
      fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\nRange: bytes={}-{}\r\n\r\n", path, host_, offset, offset + size - 1);
  if (absl::Status status = SendAll(socket_.get(), request); !status.ok()) return status;

  std::array<std::byte, 8192> buffer;
  std::size_t buffered = 0;
  std::size_t head_size = std::string_view::npos;
  std::string_view head;
  while (head_size == std::string_view::npos) {
    if (buffered == buffer.size())
      return absl::FailedPreconditionError("the head of the response is longer than 8192 bytes");
    const auto received = Receive(socket_.get(), std::span(buffer).subspan(buffered));
    if (!received.ok()) return received.status();
    buffered += *received;
    head = {reinterpret_cast<const char*>(buffer.data()), buffered};
    head_size = head.find("\r\n\r\n");
  }
  head = head.substr(0, head_size + 2);
  if (!head.starts_with("HTTP/1.1 206 ") ||
      head.find(fmt::format("\r\nContent-Length: {}\r\n", size)) == std::string_view::npos) {
    return absl::FailedPreconditionError(
        fmt::format("GET {}: expected {} bytes, got \"{}\"", path, size, head.substr(0, head.find('\r'))));
  }
  std::size_t filled = std::min(buffered - (head_size + 4), memory.size());
  std::memcpy(memory.data(), buffer.data() + head_size + 4, filled);
  while (filled < memory.size()) {
    const auto received = Receive(socket_.get(), memory.subspan(filled));
    if (!received.ok()) return received.status();
    filled += *received;
  }
  return absl::OkStatus();
}

}  // namespace tensorferry::benchmarks
