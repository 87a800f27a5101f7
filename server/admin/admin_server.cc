// SPDX-License-Identifier: Apache-2.0
#include "server/admin/admin_server.h"

#include <fmt/format.h>
#include <httplib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <optional>
#include <thread>
#include <utility>

#include "lib/net/endpoint.h"
#include "lib/text/quote.h"
#include "server/admin/timed_stream.h"
#include "server/net/listen_address.h"

namespace tensorferry::server {
namespace {

constexpr std::size_t kThreads = 8;
constexpr const char* kText = "text/plain; charset=utf-8";

// A thread pool that counts the connections that its threads serve or have queued.
class Pool final : public httplib::TaskQueue {
 public:
  explicit Pool(std::atomic<std::size_t>& connections) : connections_(connections), threads_(kThreads) {}

  void enqueue(std::function<void()> task) override {
    ++connections_;
    threads_.enqueue([this, task = std::move(task)] {
      task();
      --connections_;
    });
  }
  void shutdown() override { threads_.shutdown(); }

 private:
  std::atomic<std::size_t>& connections_;
  httplib::ThreadPool threads_;
};

void Answer(httplib::Response& response, const absl::Status& status) {
  response.status = status.ok() ? 200 : 503;
  response.set_content(status.ok() ? "ok\n" : std::string(status.message()) + '\n', kText);
}

// Returns host and port of an address that is valid by CheckListenAddress().
std::pair<std::string, int> Split(std::string_view address) {
  const HostPort split = SplitHostPort(address);
  int port = 0;
  std::from_chars(split.port.data(), split.port.data() + split.port.size(), port);
  return {std::string(split.host), port};
}

}  // namespace

class AdminServer::Http final : public httplib::Server {
 public:
  explicit Http(AdminServer::Handlers handlers) : handlers_(std::move(handlers)) {
    new_task_queue = [this] { return new Pool(connections_); };
    // Not SO_REUSEPORT: two servers on one port would share its connections by chance.
    set_socket_options([](int socket) {
      const int on = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    });
    set_payload_max_length(0);
    Get("/metrics", [this](const httplib::Request&, httplib::Response& response) {
      response.set_content(handlers_.metrics(), "text/plain; version=0.0.4; charset=utf-8");
    });
    Get("/livez", [this](const auto&, httplib::Response& response) { Answer(response, handlers_.live()); });
    Get("/readyz", [this](const auto&, httplib::Response& response) { Answer(response, handlers_.ready()); });
  }

  // Returns the port, or nothing if it cannot listen there.
  std::optional<int> Bind(const std::string& host, int port) {
    host_ = host;
    if (port == 0) {
      port_ = bind_to_any_port(host);
    } else if (bind_to_port(host, port)) {
      port_ = port;
    }
    if (port_ <= 0) return std::nullopt;
    return port_;
  }

  void Serve() {
    thread_ = std::thread([this] {
      while (true) {
        listen_after_bind();
        if (stopping_) break;
        // accept() may fail because of the network. httplib stops then.
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        if (stopping_) break;
        bind_to_port(host_, port_);
      }
      ended_ = true;
    });
    while (!is_running()) std::this_thread::yield();
  }

  void Stop() {
    stopping_ = true;
    // In a loop, because Serve() may be about to listen again.
    while (!ended_) {
      stop();
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    thread_.join();
  }

 private:
  bool process_and_close_socket(int socket) override {
    TimedStream stream(socket, [this] { return stopping_ || connections_ > kThreads; });
    bool closed = false;
    process_request(stream, /*close_connection=*/true, closed, nullptr);
    ::shutdown(socket, SHUT_RDWR);
    ::close(socket);
    return true;
  }

  const AdminServer::Handlers handlers_;
  std::atomic<std::size_t> connections_ = 0;
  std::string host_;
  int port_ = 0;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

absl::Status CheckAdminAddress(const std::string& address) {
  absl::Status status = CheckListenAddress(address);
  if (status.ok() && IsUnixSocket(address)) {
    status = absl::InvalidArgumentError(
        fmt::format("cannot listen on {}: --admin-listen takes host:port, not a unix socket", Quote(address)));
  }
  return status;
}

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Start(const std::string& address, Handlers handlers) {
  if (absl::Status status = CheckAdminAddress(address); !status.ok()) return status;
  auto http = std::make_unique<Http>(std::move(handlers));
  const auto [host, asked] = Split(address);
  const std::optional<int> port = http->Bind(host, asked);
  if (!port) {
    return absl::UnavailableError(
        fmt::format("cannot listen on {} for the admin port: the address is in use, or not one of this machine; give "
                    "another --admin-listen, or --admin-listen off",
                    Quote(address)));
  }
  http->Serve();
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(http), WithPort(address, *port)));
}

AdminServer::AdminServer(std::unique_ptr<Http> http, std::string address)
    : http_(std::move(http)), address_(std::move(address)) {}

AdminServer::~AdminServer() { http_->Stop(); }

}  // namespace tensorferry::server
