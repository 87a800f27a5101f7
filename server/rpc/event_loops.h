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

// The threads that drive gRPC, each with a completion queue of its own. gRPC gives every connection to one of them,
// which then polls its socket, sends and hears what was sent, so that a stream never waits for another thread to take
// over; with gRPC's own threads (the callback API) each message changes threads several times.
class EventLoops {
 public:
  // What a completion queue hands back.
  class Event {
   public:
    virtual ~Event() = default;
    // Runs on the queue's thread, which it must not hold up.
    virtual void Complete(bool ok) = 0;
    // What gRPC is told to put into the queue.
    void* tag() { return this; }
  };

  // Counts a call, asked for or running, until it is destroyed.
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

  // Adds `count` queues to the server that is being built. Must outlive it, and be stopped.
  EventLoops(grpc::ServerBuilder& builder, int count);
  EventLoops(const EventLoops&) = delete;
  EventLoops& operator=(const EventLoops&) = delete;

  const std::vector<std::unique_ptr<grpc::ServerCompletionQueue>>& queues() const { return queues_; }

  // Starts the threads. The server runs.
  void Start();
  // Waits for the last call and ends the threads. Once, when the server has been shut down or could not be started.
  void Stop();

 private:
  std::vector<std::unique_ptr<grpc::ServerCompletionQueue>> queues_;
  std::atomic<int> calls_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_RPC_EVENT_LOOPS_H_
