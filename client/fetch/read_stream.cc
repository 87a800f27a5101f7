// SPDX-License-Identifier: Apache-2.0
#include "client/fetch/read_stream.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <utility>

#include "lib/wire/status_conversion.h"

namespace tensorferry {

ReadStream::ReadStream(Connection& connection, const std::string& method, const google::protobuf::Message& request,
                       absl::Time deadline, const std::stop_token& stop_token)
    : context_(deadline, stop_token), authorized_(connection.Authorize(context_.grpc())) {
  if (!authorized_.ok()) {
    finished_ = true;
    return;
  }
  bool own_buffer = false;
  // Serializing a proto3 message to memory cannot fail.
  static_cast<void>(
      grpc::GenericSerialize<grpc::ProtoBufferWriter, google::protobuf::Message>(request, &request_, &own_buffer));
  context_.grpc().set_initial_metadata_corked(true);
  // gRPC's generic client treats every method as bidirectional. Ours sends a single message.
  call_ = connection.raw_stub().PrepareCall(&context_.grpc(), "/tensorferry.v1.TensorService/" + method, &queue_);
  call_->StartCall(nullptr);  // corked: sent with the write, without an event of its own
  call_->WriteLast(request_, grpc::WriteOptions(), Tag(Event::kWritten));
  call_->Read(&incoming_, Tag(Event::kRead));
}

ReadStream::~ReadStream() {
  if (!finished_) {
    context_.grpc().TryCancel();
    grpc::ByteBuffer ignored;
    while (Next(ignored)) {
    }
    Finish().IgnoreError();
  }
  queue_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
  }
}

bool ReadStream::Next(grpc::ByteBuffer& message) {
  if (!authorized_.ok() || !WaitFor(Event::kRead)) return false;
  message.Swap(&incoming_);
  incoming_.Clear();
  call_->Read(&incoming_, Tag(Event::kRead));
  return true;
}

absl::Status ReadStream::Finish() {
  if (!authorized_.ok()) return authorized_;
  finished_ = true;
  grpc::Status status;
  call_->Finish(&status, Tag(Event::kFinished));
  WaitFor(Event::kFinished);
  return wire::FromGrpc(status);
}

bool ReadStream::WaitFor(Event event) {
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
    if (tag == Tag(event)) return ok;
  }
  return false;
}

}  // namespace tensorferry
