// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/event_loops.h"

#include <cstddef>

namespace tensorferry::server {
namespace {

void Run(grpc::ServerCompletionQueue& queue) {
  void* tag = nullptr;
  bool ok = false;
  while (queue.Next(&tag, &ok)) static_cast<EventLoops::Event*>(tag)->Complete(ok);
}

}  // namespace

EventLoops::EventLoops(grpc::ServerBuilder& builder, int count) {
  for (int i = 0; i < count; ++i) queues_.push_back(builder.AddCompletionQueue());
}

void EventLoops::Start() {
  for (const auto& queue : queues_) threads_.emplace_back([&queue = *queue] { Run(queue); });
}

void EventLoops::Stop() {
  // Queues accept no operations after their shutdown, and running calls still have to finish.
  for (int calls = calls_; calls > 0; calls = calls_) calls_.wait(calls);
  for (const auto& queue : queues_) queue->Shutdown();
  // Without threads, empties the queues here: gRPC requires that.
  for (std::size_t i = threads_.size(); i < queues_.size(); ++i) Run(*queues_[i]);
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace tensorferry::server
