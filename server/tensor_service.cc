// SPDX-License-Identifier: Apache-2.0
#include "server/tensor_service.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/wire/status_conversion.h"
#include "server/get_file.h"
#include "server/get_metadata.h"
#include "server/get_slice.h"
#include "server/get_tensor.h"
#include "server/get_tensors.h"
#include "server/list_models.h"
#include "server/list_tensors.h"

namespace tensorferry::server {
namespace {

template <typename Request, typename Response, typename Handler>
grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, const Catalog& catalog, const Request& request,
                                 Response& response, Handler handler) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  absl::StatusOr<Response> answer = handler(catalog, request);
  if (answer.ok()) response = *std::move(answer);
  reactor->Finish(wire::ToGrpc(answer.status()));
  return reactor;
}

// A stream that ends before its first message.
class FailedStream final : public TensorService::Stream {
 public:
  explicit FailedStream(const absl::Status& status) { Finish(wire::ToGrpc(status)); }
  void OnDone() override { delete this; }
};

template <typename Request, typename Planner>
TensorService::Stream* Stream(const Catalog& catalog, const grpc::ByteBuffer& message, Planner planner,
                              const StreamResources& resources) {
  Request request;
  // Taking the message apart uses it up; this one only refers to the same bytes.
  grpc::ByteBuffer bytes = message;
  if (!grpc::SerializationTraits<Request>::Deserialize(&bytes, &request).ok()) {
    return new FailedStream(absl::InvalidArgumentError("the request cannot be parsed"));
  }
  absl::StatusOr<StreamPlan> plan = planner(catalog, request);
  if (!plan.ok()) return new FailedStream(plan.status());
  return ChunkStream::Start(*std::move(plan), resources);
}

}  // namespace

grpc::ServerUnaryReactor* TensorService::ListModels(grpc::CallbackServerContext* context,
                                                    const v1::ListModelsRequest* request,
                                                    v1::ListModelsResponse* response) {
  return Answer(context, *catalog_.Get(), *request, *response, server::ListModels);
}

grpc::ServerUnaryReactor* TensorService::ListTensors(grpc::CallbackServerContext* context,
                                                     const v1::ListTensorsRequest* request,
                                                     v1::ListTensorsResponse* response) {
  return Answer(context, *catalog_.Get(), *request, *response, server::ListTensors);
}

grpc::ServerUnaryReactor* TensorService::GetMetadata(grpc::CallbackServerContext* context,
                                                     const v1::GetMetadataRequest* request,
                                                     v1::GetMetadataResponse* response) {
  return Answer(context, *catalog_.Get(), *request, *response, server::GetMetadata);
}

TensorService::Stream* TensorService::GetTensor(grpc::CallbackServerContext*, const grpc::ByteBuffer* request) {
  return server::Stream<v1::GetTensorRequest>(*catalog_.Get(), *request, PlanGetTensor, resources_);
}

TensorService::Stream* TensorService::GetSlice(grpc::CallbackServerContext*, const grpc::ByteBuffer* request) {
  return server::Stream<v1::GetSliceRequest>(*catalog_.Get(), *request, PlanGetSlice, resources_);
}

TensorService::Stream* TensorService::GetTensors(grpc::CallbackServerContext*, const grpc::ByteBuffer* request) {
  return server::Stream<v1::GetTensorsRequest>(*catalog_.Get(), *request, PlanGetTensors, resources_);
}

TensorService::Stream* TensorService::GetFile(grpc::CallbackServerContext*, const grpc::ByteBuffer* request) {
  return server::Stream<v1::GetFileRequest>(*catalog_.Get(), *request, PlanGetFile, resources_);
}

}  // namespace tensorferry::server
