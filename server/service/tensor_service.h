// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_SERVICE_TENSOR_SERVICE_H_
#define TENSORFERRY_SERVER_SERVICE_TENSOR_SERVICE_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "server/reload/current_catalog.h"
#include "server/rpc/event_loops.h"
#include "server/rpc/stream_call.h"
#include "server/rpc/unary_call.h"
#include "server/security/authorizer.h"
#include "server/stream/chunk_stream.h"
#include "server/stream/stream_plan.h"
#include "tensorferry/v1/tensor_service.grpc.pb.h"

namespace tensorferry::server {

// The service's methods as they are asked for from completion queues: unary ones with messages, streams with raw bytes,
// so that what is served can go out from the mapping without a copy.
template <typename Base>
using WithUnaryMethods = v1::TensorService::WithAsyncMethod_ListModels<
    v1::TensorService::WithAsyncMethod_ListTensors<v1::TensorService::WithAsyncMethod_GetMetadata<Base>>>;
template <typename Base>
using WithRawStreams = v1::TensorService::WithRawMethod_GetTensor<v1::TensorService::WithRawMethod_GetSlice<
    v1::TensorService::WithRawMethod_GetTensors<v1::TensorService::WithRawMethod_GetFile<Base>>>>;

// Routes each RPC to its handler, if its caller may have it: a model that a caller may not read is NOT_FOUND, in the
// words for one that is not there.
class TensorService final : public WithUnaryMethods<WithRawStreams<v1::TensorService::Service>> {
 public:
  // The largest request there may be: a plan.
  static constexpr std::size_t kMaxRequestBytes = std::size_t{4} << 20;

  // Each call is answered from the catalog that is current when it begins. All must outlive the service.
  // `log_calls`: each call gets a line of the log when it ends.
  TensorService(const CurrentCatalog& catalog, const Authorizer& access, const StreamResources& resources,
                bool log_calls);

  // Answers the calls that come from now on, until the server is shut down.
  void Serve(EventLoops& loops);

 private:
  template <typename Request, typename Response>
  using Handler = absl::StatusOr<Response> (*)(const Catalog&, const Request&, const Permissions&);
  template <typename Request>
  using Planner = absl::StatusOr<StreamPlan> (*)(const Catalog&, const Request&);

  // Counts a call, and has it logged if calls are.
  RpcMetrics::Call Begin(Rpc rpc, const grpc::ServerContext& context) const;
  // How calls are asked for, with a method of the generated class, and answered.
  template <typename Request, typename Response>
  typename UnaryCall<Request, Response>::Method Unary(Rpc rpc, auto ask, Handler<Request, Response> handler);
  template <typename Request>
  StreamCall::Method Stream(Rpc rpc, auto ask, Planner<Request> planner);

  const CurrentCatalog& catalog_;
  const Authorizer& access_;
  const StreamResources& resources_;
  const bool log_calls_;
  const UnaryCall<v1::ListModelsRequest, v1::ListModelsResponse>::Method list_models_;
  const UnaryCall<v1::ListTensorsRequest, v1::ListTensorsResponse>::Method list_tensors_;
  const UnaryCall<v1::GetMetadataRequest, v1::GetMetadataResponse>::Method get_metadata_;
  const StreamCall::Method get_tensor_;
  const StreamCall::Method get_slice_;
  const StreamCall::Method get_tensors_;
  const StreamCall::Method get_file_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_SERVICE_TENSOR_SERVICE_H_
