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
#include <chrono>
#include <cstdint>
#include <limits>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lib/security/loopback.h"
#include "server/listen_address.h"
#include "tensorferry/quote.h"

namespace tensorferry::server {
namespace {

// Linking gRPC's reflection library adds it to every server; this takes it out again.
class WithoutReflection final : public grpc::ServerBuilderOption {
 public:
  void UpdateArguments(grpc::ChannelArguments*) override {}
  void UpdatePlugins(std::vector<std::unique_ptr<grpc::ServerBuilderPlugin>>* plugins) override {
    std::erase_if(*plugins, [](const auto& plugin) { return plugin->name() == "proto_server_reflection"; });
  }
};

void Configure(grpc::ServerBuilder& builder, const Options& options) {
  // How much of a stream may wait in gRPC while its next message is asked for (ChunkStream).
  builder.AddChannelArgument(GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, static_cast<int>(options.chunk_bytes));
  // Two servers on one port would share its connections by chance.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
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
  // What our client sends (client/connection.cc) is permitted.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.SetMaxReceiveMessageSize(TensorService::kMaxRequestBytes);
}

// What health checks ask about: the server as a whole, and what it serves.
std::vector<std::string> HealthNames() { return {"", v1::TensorService::service_full_name()}; }

// More connections at once than one core can serve want more threads; each polls the connections it was given.
int DefaultNetworkThreads() { return std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 1, 16); }

// Plaintext happens on purpose only.
absl::Status CheckPlaintext(const Options& options) {
  if (!options.tls.certificate.empty() || options.insecure) return absl::OkStatus();
  if (!IsLoopback(options.listen)) {
    return absl::InvalidArgumentError(fmt::format(
        "cannot listen on {}: it is not a loopback address and there is no TLS (--tls-cert, --tls-key); say "
        "--insecure to serve in plaintext to everybody who reaches it",
        Quote(options.listen)));
  }
  if (!options.token_file.empty()) {
    return absl::InvalidArgumentError(
        "tokens would travel in plaintext: serve with TLS (--tls-cert, --tls-key), or say --insecure");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> CredentialsFor(const Options& options) {
  if (options.tls.certificate.empty()) return grpc::InsecureServerCredentials();
  return TlsCredentials(options.tls);
}

absl::StatusOr<std::unique_ptr<const Access>> AccessFor(const Options& options) {
  std::unique_ptr<TokenFile> tokens;
  if (!options.token_file.empty()) {
    absl::StatusOr<std::unique_ptr<TokenFile>> opened = TokenFile::Open(options.token_file);
    if (!opened.ok()) return opened.status();
    tokens = *std::move(opened);
  }
  return std::make_unique<const Access>(options.allowed_clients, std::move(tokens));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const Options& options, std::shared_ptr<const Catalog> catalog) {
  if (absl::Status status = CheckListenAddress(options.listen); !status.ok()) return status;
  if (absl::Status status = CheckPlaintext(options); !status.ok()) return status;
  absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> credentials = CredentialsFor(options);
  if (!credentials.ok()) return credentials.status();
  absl::StatusOr<std::unique_ptr<const Access>> access = AccessFor(options);
  if (!access.ok()) return access.status();
  std::unique_ptr<Server> server(new Server(options, std::move(catalog), *std::move(access)));
  server->credentials_ = *std::move(credentials);
  grpc::ServerBuilder builder;
  Configure(builder, options);
  if (options.reflection) {
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  } else {
    builder.SetOption(std::make_unique<WithoutReflection>());
  }
  int port = 0;
  builder.AddListeningPort(options.listen, server->credentials_, &port);
  builder.RegisterService(&server->service_);
  builder.RegisterService(&server->health_);
  server->loops_.emplace(builder, options.network_threads > 0 ? options.network_threads : DefaultNetworkThreads());
  server->server_ = builder.BuildAndStart();
  if (server->server_ == nullptr || port == 0) {
    return absl::UnavailableError(
        fmt::format("cannot listen on {}: the address is in use, not ours or malformed", Quote(options.listen)));
  }
  server->service_.Serve(*server->loops_);
  server->health_.Serve(*server->loops_);
  server->loops_->Start();
  server->address_ = WithPort(options.listen, port);
  return server;
}

Server::Server(const Options& options, std::shared_ptr<const Catalog> catalog, std::unique_ptr<const Access> access)
    : streams_(options.stream_limits),
      workers_(options.workers),
      resources_{.io = options.io,
                 .buffers = BufferPool::Create(options.chunk_bytes),
                 .workers = &workers_,
                 .registry = &streams_},
      access_(std::move(access)),
      catalog_(std::move(catalog)),
      service_(catalog_, *access_, resources_),
      health_(HealthNames()) {}

Server::~Server() {
  if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
  if (loops_) loops_->Stop();
  server_.reset();
  // The workers may still hold streams that gRPC is done with.
  while (active_streams() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

void Server::StopBeingHealthy() {
  for (const std::string& name : HealthNames()) health_.SetServing(name, false);
}

}  // namespace tensorferry::server
