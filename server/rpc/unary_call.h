// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_RPC_UNARY_CALL_H_
#define TENSORFERRY_SERVER_RPC_UNARY_CALL_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_unary_call.h>
#include <grpcpp/support/status.h>

#include <functional>

#include "server/rpc/event_loops.h"

namespace tensorferry::server {

// A call with one request and one response, answered at once. Self-owning: created by Await(), deletes itself when the
// RPC ends.
template <typename Request, typename Response>
class UnaryCall final : private EventLoops::Event {
 public:
  // Requests and answers the calls of one RPC.
  struct Method {
    std::function<void(grpc::ServerContext*, Request*, grpc::ServerAsyncResponseWriter<Response>*,
                       grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*)>
        request;
    std::function<grpc::Status(const grpc::ServerContext&, const Request&, Response&)> answer;
  };

  // Requests a call of the method, and the next one whenever one arrives, until the server is shut down. All arguments
  // must outlive the server.
  static void Await(const Method& method, EventLoops& loops, grpc::ServerCompletionQueue& queue) {
    auto* call = new UnaryCall(method, loops, queue);
    method.request(&call->context_, &call->request_, &call->writer_, &queue, &queue, call->tag());
  }

 private:
  UnaryCall(const Method& method, EventLoops& loops, grpc::ServerCompletionQueue& queue)
      : ticket_(loops), method_(method), loops_(loops), queue_(queue) {}

  void Complete(bool ok) override {
    if (!ok || answered_) {
      delete this;
      return;
    }
    answered_ = true;
    Await(method_, loops_, queue_);
    Response response;
    const grpc::Status status = method_.answer(context_, request_, response);
    if (status.ok()) {
      writer_.Finish(response, status, tag());
    } else {
      writer_.FinishWithError(status, tag());
    }
  }

  const EventLoops::CallTicket ticket_;
  const Method& method_;
  EventLoops& loops_;
  grpc::ServerCompletionQueue& queue_;
  grpc::ServerContext context_;
  Request request_;
  grpc::ServerAsyncResponseWriter<Response> writer_{&context_};
  bool answered_ = false;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_RPC_UNARY_CALL_H_
