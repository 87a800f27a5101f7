// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_RPC_STREAM_WRITER_H_
#define TENSORFERRY_SERVER_RPC_STREAM_WRITER_H_

#include <grpcpp/impl/codegen/call_op_set.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

namespace tensorferry::server {

// A call that is answered with a stream of messages. StreamCall is the one that gRPC drives; tests have their own.
class StreamWriter {
 public:
  // Receives the events of a call, one at a time, on one thread.
  class Reactor {
   public:
    virtual ~Reactor() = default;
    // The message of the last StartWrite was taken, or will never be.
    virtual void OnWriteDone(bool ok) = 0;
    // The call was cancelled, or its deadline passed. It must be finished nonetheless.
    virtual void OnCancel() = 0;
    // The call has ended, and is destroyed after this.
    virtual void OnDone() = 0;
  };

  virtual ~StreamWriter() = default;

  // Call it before everything else. The reactor must live until OnDone.
  virtual void set_reactor(Reactor* reactor) = 0;
  // Starts a write. One may be in flight at a time. `message` must live until OnWriteDone. Safe to call from any
  // thread.
  virtual void StartWrite(const grpc::ByteBuffer& message, grpc::WriteOptions options) = 0;
  // Writes the last message and finishes with OK, which takes gRPC one step instead of two. `message` must live until
  // OnDone; otherwise like Finish.
  virtual void WriteAndFinish(const grpc::ByteBuffer& message) = 0;
  // Finishes the call. Call it once, when no write is in flight. The call may be gone before this returns. Safe to call
  // from any thread.
  virtual void Finish(const grpc::Status& status) = 0;
  // Cancels the call: its client sees CANCELLED, and gRPC releases what it holds. The call must not be done.
  virtual void TryCancel() = 0;
  // Returns true if the call was cancelled before it was finished. To be called from OnDone.
  virtual bool IsCancelled() const = 0;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_RPC_STREAM_WRITER_H_
