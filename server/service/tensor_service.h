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
#include "server/stream/sender.h"
#include "server/stream/stream_plan.h"
#include "tensorferry/v1/tensor_service.grpc.pb.h"

namespace tensorferry::server {

// The generated service with asynchronous methods: unary ones with messages, streams with raw bytes, so that data can
// be sent from the mapping without a copy.
template <typename Base>
using WithUnaryMethods = v1::TensorService::WithAsyncMethod_ListModels<
    v1::TensorService::WithAsyncMethod_ListTensors<v1::TensorService::WithAsyncMethod_GetMetadata<Base>>>;
template <typename Base>
using WithRawStreams = v1::TensorService::WithRawMethod_GetTensor<v1::TensorService::WithRawMethod_GetSlice<
    v1::TensorService::WithRawMethod_GetTensors<v1::TensorService::WithRawMethod_GetFile<Base>>>>;

// Authorizes each RPC and passes it to its handler. For a caller who may not read a model, the model does not exist:
// NOT_FOUND, with the same message.
class TensorService final : public WithUnaryMethods<WithRawStreams<v1::TensorService::Service>> {
 public:
  // Size limit of a GetTensors request, the largest kind of request.
  static constexpr std::size_t kMaxPlanBytes = std::size_t{4} << 20;

  // Answers each call from the catalog that is current when it begins. All references must outlive the service.
  // `log_calls`: log a line when a call ends.
  TensorService(const CurrentCatalog& catalog, const Authorizer& authorizer, const StreamResources& resources,
                bool log_calls);

  // Answers calls until the server is shut down.
  void Serve(EventLoops& loops);

 private:
  template <typename Request>
  using Planner = absl::StatusOr<StreamPlan> (*)(const Catalog&, const Request&);

  // Counts a call, and requests its log line.
  RpcMetrics::Call Begin(Rpc rpc, const grpc::ServerContext& context) const;
  // Return the methods that request a call, by a method of the generated class, and answer it.
  template <typename Request, typename Response>
  typename UnaryCall<Request, Response>::Method Unary(Rpc rpc, auto request_call, auto handler);
  template <typename Request>
  StreamCall::Method Stream(Rpc rpc, auto request_call, Planner<Request> planner);

  const CurrentCatalog& catalog_;
  const Authorizer& authorizer_;
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
