// SPDX-License-Identifier: Apache-2.0
#include "client/read_stream.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <utility>

#include "lib/wire/status_conversion.h"

namespace tensorferry {

ReadStream::ReadStream(Connection& connection, const std::string& method, const google::protobuf::Message& request,
                       absl::Time deadline, const std::stop_token& stop_token)
    : context_(deadline, stop_token) {
  bool own_buffer = false;
  // Serializing to memory cannot fail for a message with all its (proto3) fields.
  static_cast<void>(
      grpc::GenericSerialize<grpc::ProtoBufferWriter, google::protobuf::Message>(request, &request_, &own_buffer));
  // To gRPC's generic client every method is bidirectional: ours gets one message and no more.
  connection.raw_stub().PrepareBidiStreamingCall(&context_.grpc(), "/tensorferry.v1.TensorService/" + method, {}, this);
  StartWriteLast(&request_, grpc::WriteOptions());
  StartRead(&incoming_);
  // Reads are started from Next, too, outside of gRPC's callbacks.
  AddHold();
  StartCall();
}

ReadStream::~ReadStream() {
  if (finished_) return;
  context_.grpc().TryCancel();
  grpc::ByteBuffer ignored;
  while (Next(ignored)) {
  }
  Finish().IgnoreError();
}

bool ReadStream::Next(grpc::ByteBuffer& message) {
  bool read = false;
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !queue_.empty() || ended_; });
    if (queue_.empty()) return false;
    message.Swap(&queue_.front());
    queue_.pop_front();
    if (!reading_ && !ended_) reading_ = read = true;
  }
  if (read) StartRead(&incoming_);
  return true;
}

absl::Status ReadStream::Finish() {
  if (!std::exchange(finished_, true)) RemoveHold();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return status_.has_value(); });
  return wire::FromGrpc(*status_);
}

void ReadStream::OnReadDone(bool ok) {
  {
    const std::lock_guard lock(mutex_);
    reading_ = false;
    if (ok) {
      queue_.emplace_back().Swap(&incoming_);
      reading_ = ok = queue_.size() < kMaxQueued;
    } else {
      ended_ = true;
    }
    changed_.notify_one();
  }
  if (ok) StartRead(&incoming_);
}

void ReadStream::OnDone(const grpc::Status& status) {
  // Under the lock: the waiting thread may destroy this as soon as it sees the status.
  const std::lock_guard lock(mutex_);
  status_ = status;
  changed_.notify_one();
}

}  // namespace tensorferry
