// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_READ_STREAM_H_
#define TENSORFERRY_CLIENT_READ_STREAM_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/client_callback.h>

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/connection.h"

namespace tensorferry {

// One streaming RPC, pulled message by message by a thread that may take its time: gRPC's own threads go on answering
// pings, and read one or two messages ahead, no more. Used by one thread at a time.
class ReadStream final : private grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  // Starts the RPC `method` of TensorService. `connection` must outlive the stream.
  ReadStream(Connection& connection, const std::string& method, const google::protobuf::Message& request,
             absl::Time deadline, const std::stop_token& stop_token);
  // Cancels what is still running.
  ~ReadStream() override;

  // Waits for the next message. Returns false at the end of the stream, whatever its reason.
  bool Next(grpc::ByteBuffer& message);

  // Waits for the end of the stream and says how it went. To be called after Next returned false.
  absl::Status Finish();

 private:
  static constexpr std::size_t kMaxQueued = 2;

  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  CallContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer incoming_;  // of the read that is under way

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<grpc::ByteBuffer> queue_;
  bool reading_ = true;
  bool ended_ = false;
  std::optional<grpc::Status> status_;

  bool finished_ = false;  // only of the pulling thread
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_READ_STREAM_H_
