// SPDX-License-Identifier: Apache-2.0
#include "server/tensor_service.h"

#include <fmt/format.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <cstddef>
#include <type_traits>

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

constexpr std::size_t kMaxRequestBytes = 256 << 10;
constexpr std::size_t kMaxPlanBytes = TensorService::kMaxRequestBytes;

absl::Status TooLarge(std::size_t size, std::size_t limit) {
  return absl::InvalidArgumentError(fmt::format("the request has {} bytes, at most {} are allowed", size, limit));
}

// What the caller may do, if that covers this request.
template <typename Request>
absl::StatusOr<Permissions> Admit(const grpc::CallbackServerContext& context, const Access& access,
                                  const Request& request) {
  absl::StatusOr<Permissions> permissions = access.Check(CallerOf(context));
  if constexpr (requires { request.model(); }) {
    // That a request names no model is for its handler to say.
    if (permissions.ok() && !request.model().empty() && !permissions->MayRead(request.model())) {
      return NoSuchModel(request.model());
    }
  }
  return permissions;
}

template <typename Request, typename Response, typename Handler>
grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext* context, const Access& access, const Request& request,
                                 Response& response, Handler handler) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const absl::StatusOr<Permissions> permissions = Admit(*context, access, request);
  if (!permissions.ok()) {
    reactor->Finish(wire::ToGrpc(permissions.status()));
    return reactor;
  }
  const std::size_t size = request.ByteSizeLong();
  absl::StatusOr<Response> answer =
      size <= kMaxRequestBytes ? handler(request, *permissions) : TooLarge(size, kMaxRequestBytes);
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
TensorService::Stream* Stream(grpc::CallbackServerContext& context, const Access& access, const Catalog& catalog,
                              const grpc::ByteBuffer& message, Planner planner, const StreamResources& resources) {
  Request request;
  constexpr bool is_plan = std::is_same_v<Request, v1::GetTensorsRequest>;
  if (const std::size_t limit = is_plan ? kMaxPlanBytes : kMaxRequestBytes; message.Length() > limit) {
    return new FailedStream(TooLarge(message.Length(), limit));
  }
  // Taking the message apart uses it up; this one only refers to the same bytes.
  grpc::ByteBuffer bytes = message;
  if (!grpc::SerializationTraits<Request>::Deserialize(&bytes, &request).ok()) {
    return new FailedStream(absl::InvalidArgumentError("the request cannot be parsed"));
  }
  if (const auto permissions = Admit(context, access, request); !permissions.ok()) {
    return new FailedStream(permissions.status());
  }
  absl::StatusOr<StreamPlan> plan = planner(catalog, request);
  if (!plan.ok()) return new FailedStream(plan.status());
  absl::StatusOr<StreamRegistry::Ticket> ticket = resources.registry->Admit();
  if (!ticket.ok()) return new FailedStream(ticket.status());
  return ChunkStream::Start(*std::move(plan), *std::move(ticket), context, resources);
}

}  // namespace

grpc::ServerUnaryReactor* TensorService::ListModels(grpc::CallbackServerContext* context,
                                                    const v1::ListModelsRequest* request,
                                                    v1::ListModelsResponse* response) {
  return Answer(context, access_, *request, *response, [this](const auto& asked, const Permissions& permissions) {
    return server::ListModels(*catalog_.Get(), asked, permissions);
  });
}

grpc::ServerUnaryReactor* TensorService::ListTensors(grpc::CallbackServerContext* context,
                                                     const v1::ListTensorsRequest* request,
                                                     v1::ListTensorsResponse* response) {
  return Answer(context, access_, *request, *response,
                [this](const auto& asked, const Permissions&) { return server::ListTensors(*catalog_.Get(), asked); });
}

grpc::ServerUnaryReactor* TensorService::GetMetadata(grpc::CallbackServerContext* context,
                                                     const v1::GetMetadataRequest* request,
                                                     v1::GetMetadataResponse* response) {
  return Answer(context, access_, *request, *response,
                [this](const auto& asked, const Permissions&) { return server::GetMetadata(*catalog_.Get(), asked); });
}

TensorService::Stream* TensorService::GetTensor(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  return server::Stream<v1::GetTensorRequest>(*context, access_, *catalog_.Get(), *request, PlanGetTensor, resources_);
}

TensorService::Stream* TensorService::GetSlice(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  return server::Stream<v1::GetSliceRequest>(*context, access_, *catalog_.Get(), *request, PlanGetSlice, resources_);
}

TensorService::Stream* TensorService::GetTensors(grpc::CallbackServerContext* context,
                                                 const grpc::ByteBuffer* request) {
  return server::Stream<v1::GetTensorsRequest>(*context, access_, *catalog_.Get(), *request, PlanGetTensors,
                                               resources_);
}

TensorService::Stream* TensorService::GetFile(grpc::CallbackServerContext* context, const grpc::ByteBuffer* request) {
  return server::Stream<v1::GetFileRequest>(*context, access_, *catalog_.Get(), *request, PlanGetFile, resources_);
}

}  // namespace tensorferry::server
