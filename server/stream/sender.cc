// SPDX-License-Identifier: Apache-2.0
#include "server/stream/sender.h"

#include <chrono>
#include <utility>
#include <vector>

#include "lib/wire/chunk_encoder.h"
#include "lib/wire/status_conversion.h"
#include "tensorferry/v1/tensor_service.pb.h"

namespace tensorferry::server {

void Sender::Start(StreamPlan plan, StreamLimiter::Ticket ticket, RpcMetrics::Call count, StreamWriter& call,
                   const StreamResources& resources) {
  const std::shared_ptr<Sender> sender(new Sender(std::move(ticket), std::move(count), call, resources));
  sender->self_ = sender;
  call.set_reactor(sender.get());
  const std::shared_ptr<BufferPool>& buffers = plan.checksums_only ? resources.block_buffers : resources.buffers;
  MessageMaker& maker = sender->maker_.emplace(std::move(plan), resources.io, buffers, resources.in_flight_bytes);
  std::optional<Message> answer = maker.AnswerFromCache();
  if (answer) {
    // A client that does not read must not keep the model.
    sender->maker_.reset();
  } else {
    sender->released_ =
        std::make_shared<ReleasedWindows>([weak = std::weak_ptr(sender), releases = resources.releases] {
          if (std::shared_ptr<Sender> alive = weak.lock(); alive != nullptr) {
            releases->Schedule([alive = std::move(alive)] { alive->Advance(Wait::kMay); });
          }
        });
    maker.TrackWindows(sender->released_);
  }
  resources.limiter->Watch(sender);
  if (answer) {
    sender->Answer(*std::move(answer), State::kSending);
  } else {
    sender->Advance(Wait::kMayNot);
  }
}

Sender::Sender(StreamLimiter::Ticket ticket, RpcMetrics::Call count, StreamWriter& call,
               const StreamResources& resources)
    : ticket_(std::move(ticket)),
      count_(std::move(count)),
      call_(call),
      io_(resources.io),
      workers_(*resources.workers),
      releases_(*resources.releases),
      limiter_(*resources.limiter),
      metrics_(*resources.metrics),
      clock_(resources.clock),
      started_(clock_()),
      chunk_bytes_(resources.buffers->buffer_bytes()) {}

void Sender::Advance(Wait wait) {
  for (bool again = true; again;) {
    if (wait == Wait::kMay) Confirm();
    Action action;
    {
      const MutexLock lock(&mutex_);
      action = Step();
    }
    if (action.again && wait == Wait::kMayNot) {
      // Nothing else is due in this step: the data is sent, and windows wait to be checked.
      releases_.Schedule([sender = shared_from_this()] { sender->Advance(Wait::kMay); });
      return;
    }
    again = action.again;
    // The last thing that uses the sender: after the end of the call it may be gone.
    Do(action);
  }
}

Sender::Action Sender::Step() {
  Action action;
  // A message that needs no worker needs not be made in advance either.
  const bool can_make = state_ == State::kSending && !preparing_;
  const bool needs_worker = can_make && !maker_->NextIsReady();
  if (can_make && !needs_worker && !writing_ && ready_.empty()) AddReady(maker_->Next(confirmations_.TakeNews()));
  if ((state_ == State::kSending || state_ == State::kFlushing) && !writing_ && !ready_.empty()) {
    written_ = std::move(ready_.front());
    ready_.pop_front();
    writing_ = true;
    write_started_ = clock_();
    action.write = &written_.bytes;
    action.more_follows = state_ == State::kSending || !ready_.empty();
  }
  if (needs_worker && ready_.size() <= MaxReady() / 2) preparing_ = action.prepare = true;
  if (state_ == State::kFlushing && !writing_ && ready_.empty()) {
    state_ = State::kReleasing;
    // Nobody else looks for released windows from now on.
    released_->WakeForEach();
    action.again = released_->has_some();
  }
  const bool is_over = (state_ == State::kReleasing && confirmations_.complete()) ||
                       (state_ == State::kFailing && !writing_ && !preparing_);
  if (is_over) {
    state_ = State::kFinishing;
    action.finish = true;
    action.again = false;
    action.status = status_;
    action.confirmed_bytes = confirmations_.size_bytes();
  }
  return action;
}

void Sender::Do(const Action& action) {
  if (action.prepare) workers_.Schedule([sender = shared_from_this()] { sender->Prepare(); });
  if (action.write != nullptr) {
    grpc::WriteOptions options;
    // gRPC may ask for the next message before it has sent this one, so that it never waits for us. A message that does
    // not fill gRPC's buffer could stay there for ever.
    if (action.more_follows && action.write->Length() > chunk_bytes_) options.set_buffer_hint();
    call_.StartWrite(*action.write, options);
  }
  if (!action.finish) return;
  if (!action.status.ok()) return Finish(action.status);
  // The plan may have files that no byte was read from.
  if (const absl::Status unchanged = maker_->CheckUnchanged(); !unchanged.ok()) return Finish(unchanged);
  if (action.confirmed_bytes == 0) return Finish(absl::OkStatus());
  v1::Chunk chunk;
  chunk.set_confirmed_size_bytes(action.confirmed_bytes);
  Answer(Message(wire::EncodeChunk(chunk, {}), /*data_bytes=*/0), State::kFinishing);
}

void Sender::Confirm() {
  if (released_ == nullptr || !released_->has_some()) return;
  const std::vector<Window> windows = released_->Take();
  absl::Status status;
  for (const Window& window : windows) {
    for (const std::shared_ptr<const MappedFile>& file : window.files) {
      if (status.ok()) status = file->CheckUnchanged();
    }
  }
  const MutexLock lock(&mutex_);
  if (!status.ok()) return Fail(status);
  for (const Window& window : windows) confirmations_.Add(window);
}

void Sender::Prepare() {
  for (bool more = true; more;) {
    std::int64_t news = 0;
    Confirm();
    {
      const MutexLock lock(&mutex_);
      preparing_ = more = state_ == State::kSending;
      news = confirmations_.TakeNews();
    }
    if (more) {
      maker_->ReadAhead(workers_);
      absl::StatusOr<Message> message = MakeMessage(news);
      const MutexLock lock(&mutex_);
      AddReady(std::move(message));
      preparing_ = more = state_ == State::kSending && ready_.size() < MaxReady();
    }
    Advance(Wait::kMay);
  }
}

absl::StatusOr<Message> Sender::MakeMessage(std::int64_t confirmed_bytes) {
  // A file that has changed cannot be served: the client should know before it receives data.
  if (!maker_->started()) {
    if (absl::Status status = maker_->CheckUnchanged(); !status.ok()) return status;
  }
  return maker_->Next(confirmed_bytes);
}

void Sender::AddReady(absl::StatusOr<Message> message) {
  if (!message.ok()) return Fail(message.status());
  ready_.push_back(*std::move(message));
  if (state_ == State::kSending && maker_->done()) state_ = State::kFlushing;
}

void Sender::Fail(const absl::Status& error) {
  if (!IsRunning()) return;
  status_ = error;
  state_ = State::kFailing;
}

void Sender::Answer(Message message, State expected) {
  const grpc::ByteBuffer* bytes = nullptr;
  {
    const MutexLock lock(&mutex_);
    if (state_ != expected) return;
    state_ = State::kAnswering;
    written_ = std::move(message);
    write_started_ = clock_();
    bytes = &written_.bytes;
  }
  call_.WriteAndFinish(*bytes);
}

void Sender::Finish(const absl::Status& status) {
  if (absl::IsAborted(status)) metrics_.CountFault(Fault::kFileChanged);
  if (absl::IsDataLoss(status)) metrics_.CountFault(Fault::kReadFailed);
  const grpc::Status result = wire::ToGrpc(status);
  {
    const MutexLock lock(&mutex_);
    count_.set_code(result.error_code());
  }
  call_.Finish(result);
}

void Sender::OnWriteDone(bool ok) {
  {
    const MutexLock lock(&mutex_);
    writing_ = false;
    if (ok) count_.CountMessage(written_.data_bytes);
    written_.bytes.Clear();
    if (!ok) Fail(absl::CancelledError("the client went away"));
  }
  // With pread, files may be on a network, and gRPC's threads must not wait for them.
  Advance(io_ == IoMode::kMmap ? Wait::kMay : Wait::kMayNot);
}

void Sender::OnCancel() { End(absl::CancelledError("the call was cancelled, or its deadline passed")); }

bool Sender::CutOff(const StreamLimits& limits, SteadyTime now) {
  using std::chrono::milliseconds;
  {
    const MutexLock lock(&mutex_);
    // A stream that failed is cut off, too: its status waits for the client behind the data.
    const bool is_confirming = state_ == State::kFinishing && status_.ok();
    if (is_cut_ || is_confirming || state_ == State::kDone) return false;
    // gRPC may hold a message that the client has not read.
    const bool is_sending = writing_ || state_ >= State::kReleasing;
    const bool is_stalled =
        limits.stall_timeout > milliseconds(0) && is_sending && now - write_started_ > limits.stall_timeout;
    const bool is_late = limits.max_duration > milliseconds(0) && now - started_ > limits.max_duration;
    if (!is_stalled && !is_late) return false;
    const absl::Status error =
        absl::CancelledError(is_stalled ? "the client took nothing for too long" : "the call took too long");
    if (state_ == State::kAnswering) {
      status_ = error;
    } else {
      Fail(error);
    }
    is_cut_ = true;
    if (is_stalled) metrics_.CountStalledStream();
    // Only this makes gRPC release what waits for the client. With the lock held, so that the call does not end
    // meanwhile.
    call_.TryCancel();
  }
  Advance(Wait::kMayNot);
  return true;
}

void Sender::End(const absl::Status& error) {
  {
    const MutexLock lock(&mutex_);
    Fail(error);
  }
  Advance(Wait::kMayNot);
}

void Sender::OnDone() {
  {
    const MutexLock lock(&mutex_);
    if (state_ == State::kAnswering && call_.IsCancelled()) {
      count_.set_code(grpc::StatusCode::CANCELLED);
    } else if (state_ == State::kAnswering) {
      count_.set_code(grpc::StatusCode::OK);
      count_.CountMessage(written_.data_bytes);
    }
    state_ = State::kDone;
  }
  std::exchange(self_, nullptr).reset();
}

}  // namespace tensorferry::server
