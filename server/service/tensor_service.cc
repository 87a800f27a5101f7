// SPDX-License-Identifier: Apache-2.0
#include "server/service/tensor_service.h"

#include <fmt/format.h>
#include <google/protobuf/arena.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <cstddef>
#include <functional>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/wire/status_conversion.h"
#include "server/service/get_file.h"
#include "server/service/get_metadata.h"
#include "server/service/get_slice.h"
#include "server/service/get_tensor.h"
#include "server/service/get_tensors.h"
#include "server/service/list_models.h"
#include "server/service/list_tensors.h"

namespace tensorferry::server {
namespace {

constexpr std::size_t kMaxRequestBytes = 256 << 10;
constexpr std::size_t kMaxPlanBytes = TensorService::kMaxRequestBytes;

absl::Status TooLarge(std::size_t size, std::size_t limit) {
  return absl::InvalidArgumentError(fmt::format("the request has {} bytes, at most {} are allowed", size, limit));
}

// What the caller may do, if that covers this request.
template <typename Request>
absl::StatusOr<Permissions> Admit(const grpc::ServerContext& context, const Authorizer& access,
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
absl::StatusOr<Response> Answer(const grpc::ServerContext& context, const Authorizer& access, const Catalog& catalog,
                                const Request& request, Handler handler) {
  const absl::StatusOr<Permissions> permissions = Admit(context, access, request);
  if (!permissions.ok()) return permissions.status();
  const std::size_t size = request.ByteSizeLong();
  if (size > kMaxRequestBytes) return TooLarge(size, kMaxRequestBytes);
  return handler(catalog, request, *permissions);
}

template <typename Request, typename Planner>
absl::Status StartStream(StreamCall& call, RpcMetrics::Call& count, const Authorizer& access, const Catalog& catalog,
                         Planner planner, const StreamResources& resources) {
  // The thousands of reads that a plan may have are not freed one by one.
  google::protobuf::Arena arena;
  Request& request = *google::protobuf::Arena::CreateMessage<Request>(&arena);
  constexpr bool is_plan = std::is_same_v<Request, v1::GetTensorsRequest>;
  const std::size_t size = call.request().Length();
  if (const std::size_t limit = is_plan ? kMaxPlanBytes : kMaxRequestBytes; size > limit) return TooLarge(size, limit);
  // Taking the message apart uses it up; this one only refers to the same bytes.
  grpc::ByteBuffer bytes = call.request();
  if (!grpc::SerializationTraits<Request>::Deserialize(&bytes, &request).ok()) {
    return absl::InvalidArgumentError("the request cannot be parsed");
  }
  count.set_model(request.model());
  if (const auto permissions = Admit(call.context(), access, request); !permissions.ok()) return permissions.status();
  absl::StatusOr<StreamPlan> plan = planner(catalog, request);
  if (!plan.ok()) return plan.status();
  absl::StatusOr<StreamLimiter::Ticket> ticket = resources.registry->Admit();
  if (!ticket.ok()) return ticket.status();
  ChunkStream::Start(*std::move(plan), *std::move(ticket), std::move(count), call, resources);
  return absl::OkStatus();
}

// Who may read a model may see all of it.
absl::StatusOr<v1::ListTensorsResponse> ListTensorsOf(const Catalog& catalog, const v1::ListTensorsRequest& request,
                                                      const Permissions&) {
  return server::ListTensors(catalog, request);
}

absl::StatusOr<v1::GetMetadataResponse> GetMetadataOf(const Catalog& catalog, const v1::GetMetadataRequest& request,
                                                      const Permissions&) {
  return server::GetMetadata(catalog, request);
}

// How many calls of a method each thread asks for in advance: what comes beyond them is served by another thread than
// that of its connection.
constexpr int kCallsAskedFor = 4;

}  // namespace

RpcMetrics::Call TensorService::Begin(Rpc rpc, const grpc::ServerContext& context) const {
  RpcMetrics::Call count = resources_.metrics->rpcs().Begin(rpc);
  if (log_calls_) count.LogAtEnd(context.peer());
  return count;
}

template <typename Request, typename Response>
typename UnaryCall<Request, Response>::Method TensorService::Unary(Rpc rpc, auto ask,
                                                                   Handler<Request, Response> handler) {
  return {
      .request = std::bind_front(ask, this),
      .answer = [this, rpc, handler](const grpc::ServerContext& context, const Request& request, Response& response) {
        RpcMetrics::Call count = Begin(rpc, context);
        if constexpr (requires { request.model(); }) count.set_model(request.model());
        absl::StatusOr<Response> answer =
            Answer<Request, Response>(context, access_, *catalog_.Get(), request, handler);
        const grpc::Status status = wire::ToGrpc(answer.status());
        count.set_code(status.error_code());
        if (answer.ok()) {
          response = *std::move(answer);
          count.CountMessage(0);
        }
        return status;
      }};
}

template <typename Request>
StreamCall::Method TensorService::Stream(Rpc rpc, auto ask, Planner<Request> planner) {
  return {.request = std::bind_front(ask, this), .handle = [this, rpc, planner](StreamCall& call) {
            RpcMetrics::Call count = Begin(rpc, call.context());
            const absl::Status status =
                StartStream<Request>(call, count, access_, *catalog_.Get(), planner, resources_);
            if (status.ok()) return;
            const grpc::Status result = wire::ToGrpc(status);
            count.set_code(result.error_code());
            call.Finish(result);
          }};
}

TensorService::TensorService(const CurrentCatalog& catalog, const Authorizer& access, const StreamResources& resources,
                             bool log_calls)
    : catalog_(catalog),
      access_(access),
      resources_(resources),
      log_calls_(log_calls),
      list_models_(Unary<v1::ListModelsRequest, v1::ListModelsResponse>(
          Rpc::kListModels, &TensorService::RequestListModels, server::ListModels)),
      list_tensors_(Unary<v1::ListTensorsRequest, v1::ListTensorsResponse>(
          Rpc::kListTensors, &TensorService::RequestListTensors, ListTensorsOf)),
      get_metadata_(Unary<v1::GetMetadataRequest, v1::GetMetadataResponse>(
          Rpc::kGetMetadata, &TensorService::RequestGetMetadata, GetMetadataOf)),
      get_tensor_(Stream<v1::GetTensorRequest>(Rpc::kGetTensor, &TensorService::RequestGetTensor, PlanGetTensor)),
      get_slice_(Stream<v1::GetSliceRequest>(Rpc::kGetSlice, &TensorService::RequestGetSlice, PlanGetSlice)),
      get_tensors_(Stream<v1::GetTensorsRequest>(Rpc::kGetTensors, &TensorService::RequestGetTensors, PlanGetTensors)),
      get_file_(Stream<v1::GetFileRequest>(Rpc::kGetFile, &TensorService::RequestGetFile, PlanGetFile)) {}

void TensorService::Serve(EventLoops& loops) {
  for (const auto& queue : loops.queues()) {
    for (int i = 0; i < kCallsAskedFor; ++i) {
      UnaryCall<v1::ListModelsRequest, v1::ListModelsResponse>::Await(list_models_, loops, *queue);
      UnaryCall<v1::ListTensorsRequest, v1::ListTensorsResponse>::Await(list_tensors_, loops, *queue);
      UnaryCall<v1::GetMetadataRequest, v1::GetMetadataResponse>::Await(get_metadata_, loops, *queue);
      for (const StreamCall::Method* method : {&get_tensor_, &get_slice_, &get_tensors_, &get_file_}) {
        StreamCall::Await(*method, loops, *queue);
      }
    }
  }
}

}  // namespace tensorferry::server
