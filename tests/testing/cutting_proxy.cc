// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/cutting_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <utility>

namespace tensorferry::test {
namespace {

// The interval at which a thread checks if the proxy ends.
constexpr int kPollMs = 20;

void Require(bool condition, const char* what) {
  if (condition) return;
  std::perror(what);
  std::abort();
}

sockaddr_in Loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

UniqueFd Socket() {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  Require(fd.ok(), "socket");
  const int on = 1;
  ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

bool SendAll(int fd, std::span<const char> bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
  return true;
}

std::uint16_t PortOf(const std::string& address) {
  return static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
}

}  // namespace

CuttingProxy::CuttingProxy(const std::string& server, ChooseFate choose_fate)
    : server_port_(PortOf(server)), choose_fate_(std::move(choose_fate)), listener_(Socket()) {
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  Require(::bind(listener_.get(), generic, size) == 0 && ::listen(listener_.get(), 128) == 0 &&
              ::getsockname(listener_.get(), generic, &size) == 0,
          "listen");
  address_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  accepting_ = std::jthread([this] { Accept(); });
}

CuttingProxy::~CuttingProxy() {
  ended_ = true;
  accepting_.join();
}

void CuttingProxy::Accept() {
  for (int connection = 0; !ended_;) {
    pollfd ready{.fd = listener_.get(), .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, kPollMs) <= 0) continue;
    UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!client.ok()) continue;
    UniqueFd server = Socket();
    const sockaddr_in address = Loopback(server_port_);
    // Without a server, the connection of the client closes at once.
    if (::connect(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) continue;
    connections_.emplace_back([this, connection, client = std::move(client), server = std::move(server)]() mutable {
      Pass(connection, std::move(client), std::move(server));
    });
    ++connection;
  }
  connections_.clear();
}

void CuttingProxy::Pass(int connection, UniqueFd client, UniqueFd server) {
  const std::optional<Fate> fate = choose_fate_(connection);
  if (!PassUntil(fate, client.get(), server.get())) return;
  ++faults_;
  Strike(fate->how, client.get(), server.get());
}

bool CuttingProxy::Wait(int client, int server, bool& client_ready, bool& server_ready) const {
  while (!ended_) {
    std::array<pollfd, 2> ends{{{client, POLLIN, 0}, {server, POLLIN, 0}}};
    if (::poll(ends.data(), ends.size(), kPollMs) <= 0) continue;
    client_ready = ends[0].revents != 0;
    server_ready = ends[1].revents != 0;
    return true;
  }
  return false;
}

bool CuttingProxy::PassUntil(const std::optional<Fate>& fate, int client, int server) {
  std::array<char, 1 << 16> buffer;
  std::int64_t passed = 0;
  bool client_ready = false;
  bool server_ready = false;
  while (!fate || passed < fate->after_bytes) {
    if (!Wait(client, server, client_ready, server_ready)) return false;
    if (client_ready) {
      const ssize_t size = ::recv(client, buffer.data(), buffer.size(), 0);
      if (size <= 0 || !SendAll(server, {buffer.data(), static_cast<std::size_t>(size)})) return false;
    }
    if (server_ready) {
      const std::int64_t room = fate ? fate->after_bytes - passed : std::int64_t{1} << 40;
      const auto most = std::min(buffer.size(), static_cast<std::size_t>(room));
      const ssize_t size = ::recv(server, buffer.data(), most, 0);
      if (size <= 0 || !SendAll(client, {buffer.data(), static_cast<std::size_t>(size)})) return false;
      passed += size;
      passed_bytes_ += size;
    }
  }
  return true;
}

void CuttingProxy::Strike(How how, int client, int server) {
  std::array<char, 1 << 16> buffer;
  if (how == How::kReset) {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    return;
  }
  if (how == How::kFlip) {
    if (::recv(server, buffer.data(), 1, 0) != 1) return;
    buffer[0] = static_cast<char>(buffer[0] ^ 0x10);
    if (SendAll(client, {buffer.data(), 1})) PassUntil(std::nullopt, client, server);
    return;
  }
  // The proxy must receive the bytes that the client still sends. Otherwise the system would send a reset, which
  // overtakes data.
  if (how == How::kClose) ::shutdown(client, SHUT_WR);
  while (!ended_) {
    pollfd ready{.fd = client, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, kPollMs) <= 0) continue;
    if (::recv(client, buffer.data(), buffer.size(), 0) <= 0) return;
  }
}

}  // namespace tensorferry::test
