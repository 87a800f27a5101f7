// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_FETCH_READ_STREAM_H_
#define TENSORFERRY_CLIENT_FETCH_READ_STREAM_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include <memory>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/channel/connection.h"

namespace tensorferry {

// One streaming RPC. A single thread pulls its messages and does all of gRPC's work for it. So no message passes from
// one thread to another, which took longer than copying it. While that thread is busy elsewhere, gRPC's own threads
// answer pings, every 5 s at the latest. Not safe for concurrent use.
class ReadStream final {
 public:
  // Starts the RPC `method` of TensorService. `connection` must outlive the stream. If the token is not available, the
  // stream ends before its first message, and Finish returns the error.
  ReadStream(Connection& connection, const std::string& method, const google::protobuf::Message& request,
             absl::Time deadline, const std::stop_token& stop_token);
  ReadStream(const ReadStream&) = delete;
  ReadStream& operator=(const ReadStream&) = delete;
  // Cancels the RPC if it is still running.
  ~ReadStream();

  // Waits for the next message. Returns false at the end of the stream, even after an error.
  bool Next(grpc::ByteBuffer& message);

  // Waits for the end of the stream and returns its status. To be called after Next returned false.
  absl::Status Finish();

 private:
  enum class Event : char { kWritten, kRead, kFinished };

  static void* Tag(Event event) { return reinterpret_cast<void*>(event); }
  // Waits for `event` and returns true if it succeeded. Earlier events are skipped.
  bool WaitFor(Event event);

  CallContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer incoming_;  // the message of the read in progress
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  bool finished_ = false;
  absl::Status authorized_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_FETCH_READ_STREAM_H_
