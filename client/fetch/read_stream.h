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

// One streaming RPC, pulled message by message by one thread, which does all of gRPC's work for it meanwhile: receiving
// has no hand-over between threads, which took longer than the copying. While that thread is busy elsewhere, gRPC's own
// threads answer pings (every 5 s at the latest).
class ReadStream final {
 public:
  // Starts the RPC `method` of TensorService. `connection` must outlive the stream. Where there is no token to be had,
  // the stream ends before its first message.
  ReadStream(Connection& connection, const std::string& method, const google::protobuf::Message& request,
             absl::Time deadline, const std::stop_token& stop_token);
  ReadStream(const ReadStream&) = delete;
  ReadStream& operator=(const ReadStream&) = delete;
  // Cancels what is still running.
  ~ReadStream();

  // Waits for the next message. Returns false at the end of the stream, whatever its reason.
  bool Next(grpc::ByteBuffer& message);

  // Waits for the end of the stream and says how it went. To be called after Next returned false.
  absl::Status Finish();

 private:
  enum class Event : char { kWritten, kRead, kFinished };

  static void* Tag(Event event) { return reinterpret_cast<void*>(event); }
  // Waits for `event` and says whether it went well; those before it need no attention.
  bool WaitFor(Event event);

  CallContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer incoming_;  // of the read that is under way
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  bool finished_ = false;
  absl::Status authorized_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_FETCH_READ_STREAM_H_
