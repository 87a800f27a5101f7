// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_RPC_STREAM_CALL_H_
#define TENSORFERRY_SERVER_RPC_STREAM_CALL_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <functional>
#include <mutex>

#include "server/rpc/event_loops.h"

namespace tensorferry::server {

// A call that is answered with a stream of messages, as bytes. Belongs to itself: asked for with Await, it exists until
// it has ended.
class StreamCall {
 public:
  // Hears what becomes of a call. What it is told comes from one thread, one after the other.
  class Reactor {
   public:
    virtual ~Reactor() = default;
    virtual void OnWriteDone(bool ok) = 0;
    // The call was cancelled, or its deadline passed. It must be finished nonetheless.
    virtual void OnCancel() = 0;
    // It has ended, and the call is about to go.
    virtual void OnDone() = 0;
  };

  // How the calls of a method come, and what is done with them.
  struct Method {
    std::function<void(grpc::ServerContext*, grpc::ByteBuffer*, grpc::ServerAsyncWriter<grpc::ByteBuffer>*,
                       grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*)>
        request;
    // Has to see to it that the call is finished.
    std::function<void(StreamCall&)> handle;
  };

  // Asks for a call of the method, and for another whenever one has come, until the server is shut down. All must
  // outlive that.
  static void Await(const Method& method, EventLoops& loops, grpc::ServerCompletionQueue& queue);

  StreamCall(const StreamCall&) = delete;
  StreamCall& operator=(const StreamCall&) = delete;

  grpc::ServerContext& context() { return context_; }
  const grpc::ByteBuffer& request() const { return request_; }

  // To be said before anything is written, from within `handle`. The reactor must stay until OnDone.
  void set_reactor(Reactor* reactor) { reactor_ = reactor; }
  // Of which one may be under way at a time. `message` must stay until OnWriteDone. Safe to call from any thread.
  void StartWrite(const grpc::ByteBuffer& message, grpc::WriteOptions options);
  // Writes the last message and finishes with OK, which takes gRPC one step instead of two. `message` must stay until
  // OnDone; otherwise as Finish.
  void WriteAndFinish(const grpc::ByteBuffer& message);
  // Once, when no write is under way; the call may be gone before this returns. Safe to call from any thread.
  void Finish(const grpc::Status& status);

 private:
  // Completes into a method of the call.
  class Step final : public EventLoops::Event {
   public:
    Step(StreamCall& call, void (StreamCall::*step)(bool)) : call_(call), step_(step) {}
    void Complete(bool ok) override { (call_.*step_)(ok); }

   private:
    StreamCall& call_;
    void (StreamCall::*const step_)(bool);
  };

  StreamCall(const Method& method, EventLoops& loops, grpc::ServerCompletionQueue& queue);
  ~StreamCall() = default;

  // Another thread may still be in StartWrite or Finish when gRPC has done what it was told there.
  void AwaitReturn();
  void OnRequest(bool ok);
  void OnWritten(bool ok);
  void OnFinished(bool ok);
  // gRPC is done with it: it was cancelled, or the client has the status.
  void OnEnded(bool ok);
  void GoIfDone();

  const EventLoops::CallTicket ticket_;
  const Method& method_;
  EventLoops& loops_;
  grpc::ServerCompletionQueue& queue_;
  grpc::ServerContext context_;
  grpc::ByteBuffer request_;
  grpc::ServerAsyncWriter<grpc::ByteBuffer> writer_{&context_};
  Reactor* reactor_ = nullptr;
  std::mutex mutex_;  // held while gRPC is told to write or to finish
  bool finished_ = false;
  bool ended_ = false;
  Step requested_step_{*this, &StreamCall::OnRequest};
  Step written_step_{*this, &StreamCall::OnWritten};
  Step finished_step_{*this, &StreamCall::OnFinished};
  Step ended_step_{*this, &StreamCall::OnEnded};
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_RPC_STREAM_CALL_H_
