// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_SERVER_H_
#define TENSORFERRY_SERVER_SERVER_H_

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/catalog/catalog.h"
#include "server/metrics/metrics.h"
#include "server/net/acceptor.h"
#include "server/net/socket_address.h"
#include "server/options.h"
#include "server/reload/current_catalog.h"
#include "server/rpc/event_loops.h"
#include "server/rpc/health.h"
#include "server/security/authorizer.h"
#include "server/service/tensor_service.h"
#include "server/stream/chunk_stream.h"
#include "server/stream/limiter.h"
#include "server/stream/worker_pool.h"

namespace tensorferry::server {

// A catalog served at an address, from Start until it is destroyed. Safe for concurrent use by multiple threads.
class Server {
 public:
  // Errors: INVALID_ARGUMENT: an address that cannot be resolved; one that is not loopback, or tokens, with neither TLS
  // nor `insecure`; a certificate, key or token file that is no good; UNAVAILABLE: cannot listen there.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       std::shared_ptr<const Catalog> catalog,
                                                       std::shared_ptr<Metrics> metrics = std::make_shared<Metrics>());

  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  // Cancels what is still running.
  ~Server();

  // Where it listens, with the port that was chosen.
  const std::string& address() const { return address_; }
  // What its sockets are bound to.
  const std::vector<SocketAddress>& bound_to() const { return bound_to_; }

  // What is served; whoever publishes another catalog there replaces it for the calls that begin afterwards.
  CurrentCatalog& catalog() { return catalog_; }

  // Tells health checks that it is going away. Calls are still served.
  void StopBeingReady();
  // Accepts nothing more and lets the calls that are running end. Cancels those that have not by `deadline`, or when
  // `hurry`, which is asked now and then, says so, and from then on always: they end with UNAVAILABLE. Returns how many
  // these were. To be called once at most.
  std::int64_t Shutdown(std::chrono::steady_clock::time_point deadline, const std::function<bool()>& hurry);

  // What there is now.
  Levels levels() const;
  // How many streams have not ended.
  long active_streams() const { return streams_.active(); }

 private:
  Server(const ServerOptions& options, std::shared_ptr<const Catalog> catalog, std::unique_ptr<const Authorizer> access,
         std::shared_ptr<Metrics> metrics);

  const std::shared_ptr<Metrics> metrics_;
  StreamLimiter streams_;
  WorkerPool workers_;
  WorkerPool releases_;
  StreamResources resources_;
  const std::unique_ptr<const Authorizer> access_;
  CurrentCatalog catalog_;
  TensorService service_;
  HealthService health_;
  std::shared_ptr<grpc::ServerCredentials> credentials_;
  std::string address_;
  std::vector<SocketAddress> bound_to_;
  std::optional<EventLoops> loops_;
  std::unique_ptr<grpc::Server> server_;
  // Gives the server the connections that the acceptor takes.
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> connections_;
  std::optional<Acceptor> acceptor_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_SERVER_H_
