// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/unknown_methods.h"

#include <grpcpp/server_context.h>

namespace tensorferry::server {

// Belongs to itself, as StreamCall does.
class UnknownMethods::Call final : private EventLoops::Event {
 public:
  static void Await(UnknownMethods& methods, EventLoops& loops, grpc::ServerCompletionQueue& queue) {
    auto* call = new Call(methods, loops, queue);
    methods.service_.RequestCall(&call->context_, &call->stream_, &queue, &queue, call->tag());
  }

 private:
  Call(UnknownMethods& methods, EventLoops& loops, grpc::ServerCompletionQueue& queue)
      : ticket_(loops), methods_(methods), loops_(loops), queue_(queue) {}

  void Complete(bool ok) override {
    if (!ok || answered_) {
      delete this;
      return;
    }
    answered_ = true;
    Await(methods_, loops_, queue_);
    methods_.rpcs_.Begin(Rpc::kUnknown).set_code(grpc::StatusCode::UNIMPLEMENTED);
    stream_.Finish(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, ""), tag());
  }

  const EventLoops::CallTicket ticket_;
  UnknownMethods& methods_;
  EventLoops& loops_;
  grpc::ServerCompletionQueue& queue_;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_{&context_};
  bool answered_ = false;
};

void UnknownMethods::Serve(EventLoops& loops) {
  for (const auto& queue : loops.queues()) Call::Await(*this, loops, *queue);
}

}  // namespace tensorferry::server
