// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_RPC_EVENT_LOOPS_H_
#define TENSORFERRY_SERVER_RPC_EVENT_LOOPS_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/server_builder.h>

#include <atomic>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace tensorferry::server {

// The threads that drive gRPC, each with its own completion queue. gRPC assigns every connection to one of them, which
// polls its socket, sends, and handles the completions. Thus a stream never waits for another thread. With gRPC's own
// threads (the callback API), each message changes threads several times.
class EventLoops {
 public:
  // The tag of an operation in a completion queue.
  class Event {
   public:
    virtual ~Event() = default;
    // Called when the operation is complete, on the queue's thread, which it must not block.
    virtual void Complete(bool ok) = 0;
    void* tag() { return this; }
  };

  // Counts a call, requested or running, until it is destroyed.
  class CallTicket {
   public:
    explicit CallTicket(EventLoops& loops) : loops_(loops) { ++loops_.calls_; }
    CallTicket(const CallTicket&) = delete;
    CallTicket& operator=(const CallTicket&) = delete;
    ~CallTicket() {
      if (--loops_.calls_ == 0) loops_.calls_.notify_all();
    }

   private:
    EventLoops& loops_;
  };

  // Adds `count` queues to the server that `builder` builds. Must outlive that server, and must be stopped.
  EventLoops(grpc::ServerBuilder& builder, int count);
  EventLoops(const EventLoops&) = delete;
  EventLoops& operator=(const EventLoops&) = delete;

  const std::vector<std::unique_ptr<grpc::ServerCompletionQueue>>& queues() const { return queues_; }

  // Starts the threads. Call when the server has started.
  void Start();
  // Waits for the last call and ends the threads. Call once, after the server was shut down or failed to start.
  void Stop();

 private:
  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues_;
  std::atomic<int> calls_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_RPC_EVENT_LOOPS_H_
