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

constexpr std::size_t kMaxHealthRequestBytes = 4096;

}  // namespace

// Reports the status of one service to one client, now and at each change. Self-owning, like its call.
class HealthService::Watcher final : public StreamCall::Reactor {
 public:
  Watcher(HealthService& service, StreamCall& call, std::string name)
      : service_(service), call_(call), name_(std::move(name)) {
    call_.set_reactor(this);
    const MutexLock lock(&service_.mutex_);
    service_.watchers_.insert(this);
    Update();
  }

  // Sends the status if it has changed. The caller holds the service's mutex; AssertHeld(), because the compiler cannot
  // see that the mutexes of all watchers are one.
  void Update() {
    service_.mutex_.AssertHeld();
    const auto known = service_.serving_.find(name_);
    const int status = known == service_.serving_.end() ? kServiceUnknown : known->second ? kServing : kNotServing;
    if (writing_ || finished_ || status == sent_) return;
    Response response;
    response.set_value(status);
    bool own_buffer = false;
    grpc::SerializationTraits<Response>::Serialize(response, &message_, &own_buffer);
    sent_ = status;
    writing_ = true;
    call_.StartWrite(message_, {});
  }

  void OnWriteDone(bool) override {
    const MutexLock lock(&service_.mutex_);
    writing_ = false;
    FinishIfCancelled();
    Update();
  }

  void OnCancel() override {
    const MutexLock lock(&service_.mutex_);
    cancelled_ = true;
    FinishIfCancelled();
  }

  void OnDone() override {
    {
      const MutexLock lock(&service_.mutex_);
      service_.watchers_.erase(this);
    }
    delete this;
  }

 private:
  void FinishIfCancelled() ABSL_EXCLUSIVE_LOCKS_REQUIRED(service_.mutex_) {
    if (!cancelled_ || writing_ || std::exchange(finished_, true)) return;
    call_.Finish(grpc::Status(grpc::StatusCode::CANCELLED, "the call was cancelled, or its deadline passed"));
  }

  HealthService& service_;
  StreamCall& call_;
  const std::string name_;
  // Guarded by service_.mutex_.
  grpc::ByteBuffer message_;
  int sent_ = 0;
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
  const MutexLock lock(&mutex_);
  serving_.find(service)->second = serving;
  for (Watcher* watcher : watchers_) watcher->Update();
}

grpc::Status HealthService::Check(const Request& request, Response& response) {
  const MutexLock lock(&mutex_);
  const auto known = serving_.find(request.value());
  if (known == serving_.end()) {
    return {grpc::StatusCode::NOT_FOUND, fmt::format("no service {}", Quote(request.value()))};
  }
  response.set_value(known->second ? kServing : kNotServing);
  return grpc::Status::OK;
}

void HealthService::Watch(StreamCall& call) {
  Request request;
  grpc::ByteBuffer bytes = call.request();
  if (bytes.Length() > kMaxHealthRequestBytes ||
      !grpc::SerializationTraits<Request>::Deserialize(&bytes, &request).ok()) {
    call.Finish({grpc::StatusCode::INVALID_ARGUMENT, "the request is not a HealthCheckRequest of at most 4096 bytes"});
    return;
  }
  new Watcher(*this, call, request.value());
}

}  // namespace tensorferry::server
