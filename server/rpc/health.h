// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_RPC_HEALTH_H_
#define TENSORFERRY_SERVER_RPC_HEALTH_H_

#include <google/protobuf/wrappers.pb.h>
#include <grpcpp/impl/codegen/service_type.h>

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "server/rpc/event_loops.h"
#include "server/rpc/stream_call.h"
#include "server/rpc/unary_call.h"

namespace tensorferry::server {

// grpc.health.v1, Check and Watch, on our own threads: gRPC's service would bring those of the callback API along,
// which poll every connection, too (EventLoops). Safe for concurrent use by multiple threads.
class HealthService final : public grpc::Service {
 public:
  // What it is asked about; all of it is serving. Of other names it knows nothing.
  explicit HealthService(const std::vector<std::string>& services);
  ~HealthService() override;

  // Answers the calls that come from now on, until the server is shut down.
  void Serve(EventLoops& loops);

  // `service` is one of those it knows.
  void SetServing(std::string_view service, bool serving);

 private:
  class Watcher;
  // Have the same bytes as HealthCheckRequest and HealthCheckResponse: field 1 is the service's name, or the status.
  using Request = google::protobuf::StringValue;
  using Response = google::protobuf::Int32Value;

  grpc::Status Check(const Request& request, Response& response);
  void Watch(StreamCall& call);

  std::mutex mutex_;
  std::map<std::string, bool, std::less<>> serving_;  // guarded by mutex_, the names are not changed
  std::set<Watcher*> watchers_;                       // guarded by mutex_
  const UnaryCall<Request, Response>::Method check_;
  const StreamCall::Method watch_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_RPC_HEALTH_H_
