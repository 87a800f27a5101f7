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
#include "server/service/handlers.h"

namespace tensorferry::server {
namespace {

// Size limit of all requests but plans.
constexpr std::size_t kMaxSmallRequestBytes = 256 << 10;

absl::Status TooLarge(std::size_t size, std::size_t limit) {
  return absl::InvalidArgumentError(fmt::format("the request is {} bytes long, the limit is {}", size, limit));
}

// Returns the caller's permissions if they include this request, and names the caller for the log.
template <typename Request>
absl::StatusOr<Permissions> Admit(const grpc::ServerContext& context, const Authorizer& authorizer,
                                  const Request& request, RpcMetrics::Call& count) {
  absl::StatusOr<Permissions> permissions = authorizer.Check(CallerOf(context));
  if (!permissions.ok()) return permissions;
  count.set_client(permissions->client());
  if constexpr (requires { request.model(); }) {
    // The handler reports a request without a model.
    if (!request.model().empty() && !permissions->MayRead(request.model())) return NoSuchModel(request.model());
  }
  return permissions;
}

template <typename Request, typename Response, typename Handler>
absl::StatusOr<Response> Answer(const grpc::ServerContext& context, RpcMetrics::Call& count,
                                const Authorizer& authorizer, const Catalog& catalog, const Request& request,
                                Handler handler) {
  const absl::StatusOr<Permissions> permissions = Admit(context, authorizer, request, count);
  if (!permissions.ok()) return permissions.status();
  const std::size_t size = request.ByteSizeLong();
  if (size > kMaxSmallRequestBytes) return TooLarge(size, kMaxSmallRequestBytes);
  if constexpr (std::is_invocable_v<Handler, const Catalog&, const Request&, const Permissions&>) {
    return handler(catalog, request, *permissions);
  } else {
    return handler(catalog, request);
  }
}

template <typename Request, typename Planner>
absl::Status StartStream(StreamCall& call, RpcMetrics::Call& count, const Authorizer& authorizer,
                         const Catalog& catalog, Planner planner, const StreamResources& resources) {
  // Frees the thousands of reads of a plan together.
  google::protobuf::Arena arena;
  Request& request = *google::protobuf::Arena::CreateMessage<Request>(&arena);
  constexpr bool is_plan = std::is_same_v<Request, v1::GetTensorsRequest>;
  const std::size_t size = call.request().Length();
  const std::size_t limit = is_plan ? TensorService::kMaxPlanBytes : kMaxSmallRequestBytes;
  if (size > limit) return TooLarge(size, limit);
  // A second reference to the same bytes, because parsing consumes the buffer.
  grpc::ByteBuffer bytes = call.request();
  if (!grpc::SerializationTraits<Request>::Deserialize(&bytes, &request).ok()) {
    return absl::InvalidArgumentError("the request cannot be parsed");
  }
  count.set_model(request.model());
  const absl::StatusOr<Permissions> permissions = Admit(call.context(), authorizer, request, count);
  if (!permissions.ok()) return permissions.status();
  absl::StatusOr<StreamPlan> plan = planner(catalog, request);
  if (!plan.ok()) return plan.status();
  absl::StatusOr<StreamLimiter::Ticket> ticket = resources.limiter->Admit();
  if (!ticket.ok()) return ticket.status();
  Sender::Start(*std::move(plan), *std::move(ticket), std::move(count), call, resources);
  return absl::OkStatus();
}

// Number of calls of a method that each thread requests in advance. Beyond it, another thread than that of the
// connection may serve the call.
constexpr int kRequestedCalls = 4;

}  // namespace

RpcMetrics::Call TensorService::Begin(Rpc rpc, const grpc::ServerContext& context) const {
  RpcMetrics::Call count = resources_.metrics->rpcs().Begin(rpc);
  if (log_calls_) count.LogAtEnd(context.peer());
  return count;
}

template <typename Request, typename Response>
typename UnaryCall<Request, Response>::Method TensorService::Unary(Rpc rpc, auto request_call, auto handler) {
  return {
      .request = std::bind_front(request_call, this),
      .answer = [this, rpc, handler](const grpc::ServerContext& context, const Request& request, Response& response) {
        RpcMetrics::Call count = Begin(rpc, context);
        if constexpr (requires { request.model(); }) count.set_model(request.model());
        absl::StatusOr<Response> answer =
            Answer<Request, Response>(context, count, authorizer_, *catalog_.Get(), request, handler);
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
StreamCall::Method TensorService::Stream(Rpc rpc, auto request_call, Planner<Request> planner) {
  return {.request = std::bind_front(request_call, this), .handle = [this, rpc, planner](StreamCall& call) {
            RpcMetrics::Call count = Begin(rpc, call.context());
            const absl::Status status =
                StartStream<Request>(call, count, authorizer_, *catalog_.Get(), planner, resources_);
            if (status.ok()) return;
            const grpc::Status result = wire::ToGrpc(status);
            count.set_code(result.error_code());
            call.Finish(result);
          }};
}

TensorService::TensorService(const CurrentCatalog& catalog, const Authorizer& authorizer,
                             const StreamResources& resources, bool log_calls)
    : catalog_(catalog),
      authorizer_(authorizer),
      resources_(resources),
      log_calls_(log_calls),
      list_models_(Unary<v1::ListModelsRequest, v1::ListModelsResponse>(
          Rpc::kListModels, &TensorService::RequestListModels, server::ListModels)),
      list_tensors_(Unary<v1::ListTensorsRequest, v1::ListTensorsResponse>(
          Rpc::kListTensors, &TensorService::RequestListTensors, server::ListTensors)),
      get_metadata_(Unary<v1::GetMetadataRequest, v1::GetMetadataResponse>(
          Rpc::kGetMetadata, &TensorService::RequestGetMetadata, server::GetMetadata)),
      get_tensor_(Stream<v1::GetTensorRequest>(Rpc::kGetTensor, &TensorService::RequestGetTensor, PlanGetTensor)),
      get_slice_(Stream<v1::GetSliceRequest>(Rpc::kGetSlice, &TensorService::RequestGetSlice, PlanGetSlice)),
      get_tensors_(Stream<v1::GetTensorsRequest>(Rpc::kGetTensors, &TensorService::RequestGetTensors, PlanGetTensors)),
      get_file_(Stream<v1::GetFileRequest>(Rpc::kGetFile, &TensorService::RequestGetFile, PlanGetFile)) {}

void TensorService::Serve(EventLoops& loops) {
  for (const auto& queue : loops.queues()) {
    for (int i = 0; i < kRequestedCalls; ++i) {
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
