// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_RPC_STREAM_CALL_H_
#define TENSORFERRY_SERVER_RPC_STREAM_CALL_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <functional>

#include "lib/sync/mutex.h"
#include "server/rpc/event_loops.h"
#include "server/rpc/stream_writer.h"

namespace tensorferry::server {

// A call of gRPC's that is answered with a stream of messages. Self-owning: created by Await(), deletes itself when the
// call ends.
class StreamCall final : public StreamWriter {
 public:
  // A method: the function that requests its next call, and the one that answers a call.
  struct Method {
    std::function<void(grpc::ServerContext*, grpc::ByteBuffer*, grpc::ServerAsyncWriter<grpc::ByteBuffer>*,
                       grpc::CompletionQueue*, grpc::ServerCompletionQueue*, void*)>
        request;
    // Must cause the call to be finished.
    std::function<void(StreamCall&)> handle;
  };

  // Requests a call of the method, and the next one whenever one arrives, until the server is shut down. All arguments
  // must outlive the server.
  static void Await(const Method& method, EventLoops& loops, grpc::ServerCompletionQueue& queue);

  StreamCall(const StreamCall&) = delete;
  StreamCall& operator=(const StreamCall&) = delete;

  grpc::ServerContext& context() { return context_; }
  const grpc::ByteBuffer& request() const { return request_; }

  // To be called from within `handle`.
  void set_reactor(Reactor* reactor) override { reactor_ = reactor; }
  void StartWrite(const grpc::ByteBuffer& message, grpc::WriteOptions options) override;
  void WriteAndFinish(const grpc::ByteBuffer& message) override;
  void Finish(const grpc::Status& status) override;
  void TryCancel() override { context_.TryCancel(); }
  bool IsCancelled() const override { return context_.IsCancelled(); }

 private:
  // Calls a method of the call when it completes.
  class Step final : public EventLoops::Event {
   public:
    Step(StreamCall& call, void (StreamCall::*step)(bool)) : call_(call), step_(step) {}
    void Complete(bool ok) override { (call_.*step_)(ok); }

   private:
    StreamCall& call_;
    void (StreamCall::*const step_)(bool);
  };

  StreamCall(const Method& method, EventLoops& loops, grpc::ServerCompletionQueue& queue);
  ~StreamCall() override = default;

  // Waits until StartWrite() or Finish() has returned in another thread: gRPC may report their completion earlier.
  void AwaitReturn();
  void OnRequest(bool ok);
  void OnWritten(bool ok);
  void OnFinished(bool ok);
  // gRPC reports the end: the call was cancelled, or the client has the status.
  void OnEnded(bool ok);
  void DeleteIfDone();

  const EventLoops::CallTicket ticket_;
  const Method& method_;
  EventLoops& loops_;
  grpc::ServerCompletionQueue& queue_;
  grpc::ServerContext context_;
  grpc::ByteBuffer request_;
  grpc::ServerAsyncWriter<grpc::ByteBuffer> writer_{&context_};
  Reactor* reactor_ = nullptr;
  Mutex mutex_;  // held while gRPC starts a write or the finish, guards no members
  bool finished_ = false;
  bool ended_ = false;
  Step requested_step_{*this, &StreamCall::OnRequest};
  Step written_step_{*this, &StreamCall::OnWritten};
  Step finished_step_{*this, &StreamCall::OnFinished};
  Step ended_step_{*this, &StreamCall::OnEnded};
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_RPC_STREAM_CALL_H_
