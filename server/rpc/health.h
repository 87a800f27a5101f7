// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_RPC_HEALTH_H_
#define TENSORFERRY_SERVER_RPC_HEALTH_H_

#include <google/protobuf/wrappers.pb.h>
#include <grpcpp/impl/codegen/service_type.h>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "lib/sync/mutex.h"
#include "server/rpc/event_loops.h"
#include "server/rpc/stream_call.h"
#include "server/rpc/unary_call.h"

namespace tensorferry::server {

// grpc.health.v1 on the threads of EventLoops. gRPC's own health service would start the threads of the callback API,
// which poll every connection, too. Safe for concurrent use by multiple threads.
class HealthService final : public grpc::Service {
 public:
  // Reports all of `services` as serving, and other names as unknown.
  explicit HealthService(const std::vector<std::string>& services);
  ~HealthService() override;

  // Answers calls until the server is shut down.
  void Serve(EventLoops& loops);

  // `service` must be one of the constructor's.
  void SetServing(std::string_view service, bool serving);

 private:
  class Watcher;
  // Encoded like HealthCheckRequest and HealthCheckResponse: field 1 is the service's name, or the status.
  using Request = google::protobuf::StringValue;
  using Response = google::protobuf::Int32Value;

  grpc::Status Check(const Request& request, Response& response);
  void Watch(StreamCall& call);

  Mutex mutex_;
  // By name; the names never change.
  std::map<std::string, bool, std::less<>> serving_ ABSL_GUARDED_BY(mutex_);
  std::set<Watcher*> watchers_ ABSL_GUARDED_BY(mutex_);
  const UnaryCall<Request, Response>::Method check_;
  const StreamCall::Method watch_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_RPC_HEALTH_H_
