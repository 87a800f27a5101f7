// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_RPC_UNKNOWN_METHODS_H_
#define TENSORFERRY_SERVER_RPC_UNKNOWN_METHODS_H_

#include <grpcpp/generic/async_generic_service.h>

#include "server/metrics/rpc_metrics.h"
#include "server/rpc/event_loops.h"

namespace tensorferry::server {

// Answers calls of methods that the server does not have with UNIMPLEMENTED, as gRPC would by itself, and counts them.
class UnknownMethods {
 public:
  // `rpcs` must outlive this.
  explicit UnknownMethods(RpcMetrics& rpcs) : rpcs_(rpcs) {}

  // To be registered with the server.
  grpc::AsyncGenericService& service() { return service_; }
  // Answers the calls that come from now on, until the server is shut down.
  void Serve(EventLoops& loops);

 private:
  class Call;

  RpcMetrics& rpcs_;
  grpc::AsyncGenericService service_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_RPC_UNKNOWN_METHODS_H_
