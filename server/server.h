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
#include "server/security/security.h"
#include "server/service/tensor_service.h"
#include "server/stream/limiter.h"
#include "server/stream/sender.h"
#include "server/stream/worker_pool.h"

namespace tensorferry::server {

// Serves a catalog at an address, from Start() until it is destroyed. Safe for concurrent use by multiple threads.
class Server {
 public:
  // Opens the security of `options` and starts. Errors: those of OpenSecurity() and of the other Start().
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       std::shared_ptr<const Catalog> catalog,
                                                       std::shared_ptr<Metrics> metrics = std::make_shared<Metrics>());
  // Starts with the result of OpenSecurity() for the same options and metrics. It does not depend on the catalog, so a
  // program opens it before a long scan.
  // Errors: INVALID_ARGUMENT: the address cannot be resolved; UNAVAILABLE: cannot listen on it.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options, Security security,
                                                       std::shared_ptr<const Catalog> catalog,
                                                       std::shared_ptr<Metrics> metrics);

  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  // Cancels running calls and waits for their end.
  ~Server();

  // Returns options.listen with the port that was chosen.
  const std::string& address() const { return address_; }
  // Returns the addresses that its sockets are bound to.
  const std::vector<SocketAddress>& bound_to() const { return bound_to_; }

  // Returns the served catalog. Publishing another one there affects the calls that begin afterwards.
  CurrentCatalog& catalog() { return catalog_; }

  // Reports "not serving" to health checks. Calls are still served.
  void StopBeingReady();
  // Refuses new connections and waits for the end of running calls. Calls that run at `deadline`, or once `hurry`
  // returns true, end with UNAVAILABLE; returns their number. `hurry` is polled every few milliseconds and must
  // continue to return true. Call at most once.
  std::int64_t Shutdown(std::chrono::steady_clock::time_point deadline, const std::function<bool()>& hurry);

  // Returns the current values for the metrics.
  Levels levels() const;
  // Returns the number of running streams.
  long active_streams() const { return limiter_.active(); }

 private:
  Server(const ServerOptions& options, std::shared_ptr<const Catalog> catalog,
         std::unique_ptr<const Authorizer> authorizer, std::shared_ptr<Metrics> metrics);

  const std::shared_ptr<Metrics> metrics_;
  StreamLimiter limiter_;
  WorkerPool workers_;
  WorkerPool releases_;
  StreamResources resources_;
  const std::unique_ptr<const Authorizer> authorizer_;
  CurrentCatalog catalog_;
  TensorService service_;
  HealthService health_;
  std::shared_ptr<grpc::ServerCredentials> credentials_;
  std::string address_;
  std::vector<SocketAddress> bound_to_;
  std::optional<EventLoops> loops_;
  std::unique_ptr<grpc::Server> server_;
  // Passes the acceptor's connections to gRPC.
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> connections_;
  std::optional<Acceptor> acceptor_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_SERVER_H_
