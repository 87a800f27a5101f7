// SPDX-License-Identifier: Apache-2.0
#include "server/server.h"

#include <fmt/format.h>
#include <grpc/grpc.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/impl/server_builder_option.h>
#include <grpcpp/impl/server_builder_plugin.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lib/files/block_cache.h"
#include "lib/text/quote.h"
#include "server/net/listen_address.h"
#include "server/net/listening_sockets.h"
#include "server/security/security.h"

namespace tensorferry::server {
namespace {

constexpr std::chrono::milliseconds kPollInterval(10);
// Time for connections without calls to close.
constexpr std::chrono::milliseconds kClosingTime(500);

// Removes reflection, which linking gRPC's reflection library adds to every server.
class WithoutReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    std::erase_if(*plugins, [](const auto& plugin) { return plugin->name() == "proto_server_reflection"; });
  }
};

void Configure(grpc::ServerBuilder& builder, const ServerOptions& options) {
  // Bytes of a stream that gRPC buffers before it reports the write as done.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, static_cast<int>(options.stream.chunk_bytes));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, options.max_streams_per_connection);
  builder.AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, 600'000);
  if (options.max_connection_age.count() > 0) {
    const std::int64_t age_ms = std::chrono::milliseconds(options.max_connection_age).count();
    constexpr std::int64_t kMostMs = std::numeric_limits<int>::max() - 1;
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, static_cast<int>(std::min(age_ms, kMostMs)));
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, 3'600'000);
  }
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  // Permits the pings that our client sends (client/channel/connection.cc).
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.SetMaxReceiveMessageSize(TensorService::kMaxPlanBytes);
}

// Names for health checks that report "not serving" once the server drains: the whole server, its readiness, and the
// service.
std::vector<std::string> ReadinessNames() { return {"", "readiness", v1::TensorService::service_full_name()}; }

// These and "liveness", which a draining server still reports.
std::vector<std::string> HealthNames() {
  std::vector<std::string> names = ReadinessNames();
  names.emplace_back("liveness");
  return names;
}

// One thread per core. Each polls its own connections, so more threads serve more connections at the same time.
int DefaultNetworkThreads() { return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, 16); }

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      std::shared_ptr<const Catalog> catalog,
                                                      std::shared_ptr<Metrics> metrics) {
  absl::StatusOr<Security> security = OpenSecurity(options.security, options.listen, *metrics);
  if (!security.ok()) return security.status();
  return Start(options, *std::move(security), std::move(catalog), std::move(metrics));
}

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options, Security security,
                                                      std::shared_ptr<const Catalog> catalog,
                                                      std::shared_ptr<Metrics> metrics) {
  std::unique_ptr<Server> server(
      new Server(options, std::move(catalog), std::move(security.authorizer), std::move(metrics)));
  server->credentials_ = std::move(security.credentials);
  grpc::ServerBuilder builder;
  Configure(builder, options);
  if (options.reflection) {
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  } else {
    builder.SetOption(std::make_unique<WithoutReflection>());
  }
  absl::StatusOr<ListeningSockets> sockets = ListeningSockets::Open(options.listen);
  if (!sockets.ok()) return sockets.status();
  server->address_ = WithPort(options.listen, sockets->port());
  server->bound_to_ = sockets->addresses();
  server->connections_ = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, server->credentials_);
  builder.RegisterService(&server->service_);
  builder.RegisterService(&server->health_);
  server->loops_.emplace(builder, options.network_threads > 0 ? options.network_threads : DefaultNetworkThreads());
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr) return absl::InternalError("gRPC cannot build a server with these options");
  server->service_.Serve(*server->loops_);
  server->health_.Serve(*server->loops_);
  server->loops_->Start();
  server->acceptor_.emplace(*std::move(sockets), [server = server.get()](UniqueFd connection, int socket) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
    parameters.listener_fd = socket;
    parameters.fd = connection.Release();
    server->connections_->HandleNewConnection(&parameters);
  });
  return server;
}

Server::Server(const ServerOptions& options, std::shared_ptr<const Catalog> catalog,
               std::unique_ptr<const Authorizer> authorizer, std::shared_ptr<Metrics> metrics)
    : metrics_(std::move(metrics)),
      limiter_(options.stream.limits),
      workers_(options.stream.workers),
      releases_(1),
      resources_{.io = options.stream.io,
                 .buffers = BufferPool::Create(options.stream.chunk_bytes),
                 .block_buffers = BufferPool::Create(BlockCache::kBlockBytes),
                 .in_flight_bytes = limiter_.in_flight_bytes(),
                 .workers = &workers_,
                 .releases = &releases_,
                 .limiter = &limiter_,
                 .metrics = metrics_.get()},
      authorizer_(std::move(authorizer)),
      catalog_(std::move(catalog)),
      service_(catalog_, *authorizer_, resources_, options.log_calls),
      health_(HealthNames()) {}

Server::~Server() {
  acceptor_.reset();
  if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
  if (loops_) loops_->Stop();
  server_.reset();
  // Workers may still hold streams whose calls have ended.
  while (active_streams() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

void Server::StopBeingReady() {
  for (const std::string& name : ReadinessNames()) health_.SetServing(name, false);
}

std::int64_t Server::Shutdown(std::chrono::steady_clock::time_point deadline, const std::function<bool()>& hurry) {
  using std::chrono::steady_clock;
  acceptor_.reset();
  const RpcMetrics& rpcs = metrics_->rpcs();
  std::atomic<bool> closed = false;
  // In a thread, because gRPC's Shutdown() waits for the end of every call, health watches included.
  std::thread closing([&] {
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::hours(1'000'000));
    closed = true;
  });
  const auto wait = [&](steady_clock::time_point until, const auto& done) {
    while (!done() && steady_clock::now() < until) std::this_thread::sleep_for(kPollInterval);
  };
  const auto idle = [&] { return rpcs.calls_in_flight() == 0; };
  const auto over = [&] { return closed || hurry() || steady_clock::now() >= deadline; };
  // A new call may already have been sent when the last one ended. Therefore the server is idle only if no call arrives
  // for kClosingTime. Meanwhile gRPC closes connections without calls, and loses no call on them.
  do {
    wait(deadline, [&] { return idle() || over(); });
    wait(steady_clock::now() + kClosingTime, [&] { return !idle() || over(); });
  } while (!over() && !idle());
  // gRPC may report the end of the last call to our threads after it has closed.
  if (closed) wait(deadline, [&] { return idle() || hurry(); });
  const std::int64_t cut_off = rpcs.calls_in_flight();
  limiter_.EndAll(absl::UnavailableError("the server is shutting down"));
  wait(steady_clock::now() + kClosingTime, [&] { return closed.load(); });
  grpc_server_cancel_all_calls(server_->c_server());
  closing.join();
  return cut_off;
}

Levels Server::levels() const {
  const Catalog::Counts models = catalog_.Get()->CountListed();
  return {.active_streams = active_streams(),
          .in_flight_bytes = resources_.in_flight_bytes->value(),
          .models_ready = models.ready,
          .models_failed = models.failed};
}

}  // namespace tensorferry::server
