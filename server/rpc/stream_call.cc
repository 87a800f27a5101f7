// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/stream_call.h"

namespace tensorferry::server {

void StreamCall::Await(const Method& method, EventLoops& loops, grpc::ServerCompletionQueue& queue) {
  // Self-owning.
  auto* call = new StreamCall(method, loops, queue);
  call->context_.AsyncNotifyWhenDone(call->ended_step_.tag());
  method.request(&call->context_, &call->request_, &call->writer_, &queue, &queue, call->requested_step_.tag());
}

StreamCall::StreamCall(const Method& method, EventLoops& loops, grpc::ServerCompletionQueue& queue)
    : ticket_(loops), method_(method), loops_(loops), queue_(queue) {}

void StreamCall::OnRequest(bool ok) {
  if (!ok) {
    // The server is shut down. gRPC does not report the end of a call that never began.
    delete this;
    return;
  }
  Await(method_, loops_, queue_);
  method_.handle(*this);
}

void StreamCall::StartWrite(const grpc::ByteBuffer& message, grpc::WriteOptions options) {
  const MutexLock lock(&mutex_);
  writer_.Write(message, options, written_step_.tag());
}

void StreamCall::WriteAndFinish(const grpc::ByteBuffer& message) {
  const MutexLock lock(&mutex_);
  writer_.WriteAndFinish(message, grpc::WriteOptions(), grpc::Status::OK, finished_step_.tag());
}

void StreamCall::Finish(const grpc::Status& status) {
  const MutexLock lock(&mutex_);
  writer_.Finish(status, finished_step_.tag());
}

void StreamCall::AwaitReturn() { const MutexLock lock(&mutex_); }

void StreamCall::OnWritten(bool ok) {
  AwaitReturn();
  if (reactor_ != nullptr) reactor_->OnWriteDone(ok);
}

void StreamCall::OnFinished(bool) {
  AwaitReturn();
  finished_ = true;
  DeleteIfDone();
}

void StreamCall::OnEnded(bool) {
  ended_ = true;
  if (reactor_ != nullptr && !finished_ && context_.IsCancelled()) reactor_->OnCancel();
  DeleteIfDone();
}

void StreamCall::DeleteIfDone() {
  if (!finished_ || !ended_) return;
  if (reactor_ != nullptr) reactor_->OnDone();
  delete this;
}

}  // namespace tensorferry::server
