// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/health.h"

#include <fmt/format.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/impl/codegen/rpc_service_method.h>

#include <utility>

#include "lib/text/quote.h"

namespace tensorferry::server {
namespace {

// The values of HealthCheckResponse.ServingStatus.
constexpr int kServing = 1;
constexpr int kNotServing = 2;
constexpr int kServiceUnknown = 3;

constexpr int kCheck = 0;
constexpr int kWatch = 1;

constexpr std::size_t kMaxRequestBytes = 4096;

}  // namespace

// Tells one client what becomes of one service. Belongs to itself, like its call.
class HealthService::Watcher final : public StreamCall::Reactor {
 public:
  Watcher(HealthService& service, StreamCall& call, std::string name)
      : service_(service), call_(call), name_(std::move(name)) {
    call_.set_reactor(this);
    const std::lock_guard lock(service_.mutex_);
    service_.watchers_.insert(this);
    Update();
  }

  // With the service's mutex held.
  void Update() {
    const auto known = service_.serving_.find(name_);
    const int status = known == service_.serving_.end() ? kServiceUnknown : known->second ? kServing : kNotServing;
    if (writing_ || finished_ || status == told_) return;
    Response response;
    response.set_value(status);
    bool own_buffer = false;
    grpc::SerializationTraits<Response>::Serialize(response, &message_, &own_buffer);
    told_ = status;
    writing_ = true;
    call_.StartWrite(message_, {});
  }

  void OnWriteDone(bool) override {
    const std::lock_guard lock(service_.mutex_);
    writing_ = false;
    FinishIfCancelled();
    Update();
  }

  void OnCancel() override {
    const std::lock_guard lock(service_.mutex_);
    cancelled_ = true;
    FinishIfCancelled();
  }

  void OnDone() override {
    {
      const std::lock_guard lock(service_.mutex_);
      service_.watchers_.erase(this);
    }
    delete this;
  }

 private:
  void FinishIfCancelled() {
    if (!cancelled_ || writing_ || std::exchange(finished_, true)) return;
    call_.Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the call was cancelled or its deadline passed"));
  }

  HealthService& service_;
  StreamCall& call_;
  const std::string name_;
  grpc::ByteBuffer message_;
  int told_ = 0;
  bool writing_ = false;
  bool cancelled_ = false;
  bool finished_ = false;
};

HealthService::HealthService(const std::vector<std::string>& services)
    : check_{
          .request = [this](auto* context, Request* request, auto* writer, auto* call_queue, auto* queue,
                            void* tag) { RequestAsyncUnary(kCheck, context, request, writer, call_queue, queue, tag); },
          .answer = [this](const grpc::ServerContext&, const Request& request,
                           Response& response) { return Check(request, response); }},
      watch_{
          .request =
              [this](auto* context, grpc::ByteBuffer* request, auto* writer, auto* call_queue, auto* queue, void* tag) {
                RequestAsyncServerStreaming(kWatch, context, request, writer, call_queue, queue, tag);
              },
          .handle = [this](StreamCall& call) { Watch(call); }} {
  for (const std::string& service : services) serving_[service] = true;
  using grpc::internal::RpcMethod;
  using grpc::internal::RpcServiceMethod;
  AddMethod(new RpcServiceMethod("/grpc.health.v1.Health/Check", RpcMethod::NORMAL_RPC, nullptr));
  MarkMethodAsync(kCheck);
  AddMethod(new RpcServiceMethod("/grpc.health.v1.Health/Watch", RpcMethod::SERVER_STREAMING, nullptr));
  MarkMethodRaw(kWatch);
}

HealthService::~HealthService() = default;

void HealthService::Serve(EventLoops& loops) {
  for (const auto& queue : loops.queues()) {
    UnaryCall<Request, Response>::Await(check_, loops, *queue);
    StreamCall::Await(watch_, loops, *queue);
  }
}

void HealthService::SetServing(std::string_view service, bool serving) {
  const std::lock_guard lock(mutex_);
  serving_.find(service)->second = serving;
  for (Watcher* watcher : watchers_) watcher->Update();
}

grpc::Status HealthService::Check(const Request& request, Response& response) {
  const std::lock_guard lock(mutex_);
  const auto known = serving_.find(request.value());
  if (known == serving_.end()) {
    return {grpc::StatusCode::NOT_FOUND, fmt::format("there is no service {}", Quote(request.value()))};
  }
  response.set_value(known->second ? kServing : kNotServing);
  return grpc::Status::OK;
}

void HealthService::Watch(StreamCall& call) {
  Request request;
  grpc::ByteBuffer bytes = call.request();
  if (bytes.Length() > kMaxRequestBytes || !grpc::SerializationTraits<Request>::Deserialize(&bytes, &request).ok()) {
    call.Finish({grpc::StatusCode::INVALID_ARGUMENT, "the request is not a HealthCheckRequest of at most 4096 bytes"});
    return;
  }
  new Watcher(*this, call, request.value());
}

}  // namespace tensorferry::server
