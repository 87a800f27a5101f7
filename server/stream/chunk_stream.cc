// SPDX-License-Identifier: Apache-2.0
#include "server/stream/chunk_stream.h"

#include <utility>

#include "absl/status/statusor.h"
#include "lib/wire/chunk_encoder.h"
#include "lib/wire/status_conversion.h"

namespace tensorferry::server {

void ChunkStream::Start(StreamPlan plan, StreamLimiter::Ticket ticket, RpcMetrics::Call count, StreamCall& call,
                        const StreamResources& resources) {
  const std::shared_ptr<ChunkStream> stream(new ChunkStream(std::move(ticket), std::move(count), call, resources));
  stream->self_ = stream;
  call.set_reactor(stream.get());
  std::optional<Message> copy;
  if (resources.io == IoMode::kMmap && !plan.checksums_only) copy = CopyFromCache(plan, resources);
  if (!copy) {
    const std::shared_ptr<BufferPool>& buffers = plan.checksums_only ? resources.block_buffers : resources.buffers;
    // May be called deep inside gRPC, with its locks held: what is due is done on another thread.
    stream->source_.emplace(std::move(plan), resources.io, buffers, resources.in_flight_bytes,
                            [weak = std::weak_ptr(stream), releases = resources.releases](SentWindow::Contents window) {
                              if (std::shared_ptr<ChunkStream> alive = weak.lock(); alive != nullptr) {
                                releases->Schedule([alive, window = std::move(window)] { alive->OnReleased(window); });
                              }
                            });
  }
  resources.registry->Watch(stream);
  if (copy) {
    stream->Answer(*std::move(copy));
  } else {
    stream->Advance();
  }
}

ChunkStream::ChunkStream(StreamLimiter::Ticket ticket, RpcMetrics::Call count, StreamCall& call,
                         const StreamResources& resources)
    : ticket_(std::move(ticket)),
      count_(std::move(count)),
      call_(call),
      workers_(*resources.workers),
      registry_(*resources.registry),
      metrics_(*resources.metrics),
      chunk_bytes_(resources.buffers->buffer_bytes()) {}

std::optional<ChunkStream::Message> ChunkStream::CopyFromCache(const StreamPlan& plan,
                                                               const StreamResources& resources) {
  if (plan.header.size_bytes() > kMaxCachedBytes || plan.reads.size() > kMaxCachedReads) return std::nullopt;
  std::int64_t runs = 0;
  for (const PlannedRead& read : plan.reads) {
    const std::int64_t size = read.result_end - read.result_begin;
    if (size > read.slice.run_bytes()) runs += size / read.slice.run_bytes();
  }
  if (runs > kMaxCachedRuns) return std::nullopt;
  ChunkSource source(plan, IoMode::kPreadCached, resources.buffers, resources.in_flight_bytes, nullptr);
  absl::StatusOr<Message> message = source.Next(/*confirmed_size_bytes=*/plan.header.size_bytes());
  // What was copied before the files were found unchanged is sound, whatever becomes of them.
  if (!message.ok() || !source.done() || !source.CheckUnchanged().ok()) return std::nullopt;
  return *std::move(message);
}

void ChunkStream::Answer(Message message) {
  {
    const std::lock_guard lock(mutex_);
    if (!status_.ok()) return;  // it was ended or cut off already
    written_ = std::move(message);
    write_started_ = StreamLimiter::Clock::now();
    source_done_ = finished_ = answered_ = true;
  }
  call_.WriteAndFinish(written_.bytes);
}

void ChunkStream::ConfirmAndFinish(std::int64_t size_bytes) {
  v1::Chunk chunk;
  chunk.set_confirmed_size_bytes(size_bytes);
  {
    const std::lock_guard lock(mutex_);
    written_ = Message{.bytes = wire::EncodeChunk(chunk, {}), .data_bytes = 0};
    write_started_ = StreamLimiter::Clock::now();
    answered_ = true;
  }
  call_.WriteAndFinish(written_.bytes);
}

void ChunkStream::OnReleased(const SentWindow::Contents& window) {
  absl::Status status;
  for (const std::shared_ptr<const MappedFile>& file : window.files) {
    status = file->CheckUnchanged();
    if (!status.ok()) break;
  }
  bool due = false;
  {
    const std::lock_guard lock(mutex_);
    if (!status.ok() && status_.ok()) status_ = status;
    released_.emplace(window.index, window.end_bytes);
    for (auto next = released_.begin(); next != released_.end() && next->first == next_window_;) {
      confirmed_bytes_ = next->second;
      ++next_window_;
      next = released_.erase(next);
    }
    if (window.is_last) window_count_ = window.index + 1;
    all_released_ = next_window_ == window_count_;
    due = all_released_ || !status_.ok();
  }
  if (due) Advance();
}

void ChunkStream::Prepare() {
  bool more = true;
  while (more) {
    ReadAhead();
    absl::StatusOr<Message> message = NextMessage();
    {
      const std::lock_guard lock(mutex_);
      AddReady(std::move(message));
      more = preparing_ = status_.ok() && !source_done_ && ready_.size() < MaxReady();
    }
    Advance();
  }
}

void ChunkStream::ReadAhead() {
  {
    const std::lock_guard lock(mutex_);
    if (!status_.ok()) return;
  }
  // Several at once would disturb the kernel, which sees that a file is read forwards and reads on by itself.
  if (reading_ahead_ || !workers_.has_spare_threads()) return;
  std::optional<ChunkSource::FileRange> range = source_->NextAhead();
  if (!range) return;
  reading_ahead_ = true;
  workers_.Schedule([reader = weak_from_this(), range = *std::move(range)] {
    // Whatever goes wrong, the message that needs it will say so.
    if (range.to_mapping) {
      range.file->Populate(range.begin, range.size_bytes).IgnoreError();
    } else {
      range.file->ReadAhead(range.begin, range.size_bytes);
    }
    if (const std::shared_ptr<ChunkStream> stream = reader.lock()) stream->reading_ahead_ = false;
  });
}

void ChunkStream::AddReady(absl::StatusOr<Message> message) {
  source_done_ = source_->done();
  if (message.ok()) {
    ready_.push_back(*std::move(message));
  } else if (status_.ok()) {
    status_ = message.status();
  }
}

absl::StatusOr<ChunkStream::Message> ChunkStream::NextMessage() {
  // Rather than at the end: what has changed since it was opened cannot be served any more.
  if (!source_->started()) {
    if (absl::Status status = source_->CheckUnchanged(); !status.ok()) return status;
  }
  std::int64_t confirmed = 0;
  {
    const std::lock_guard lock(mutex_);
    confirmed = NextConfirmation();
  }
  return source_->Next(confirmed);
}

std::int64_t ChunkStream::NextConfirmation() {
  if (confirmed_bytes_ == told_bytes_) return 0;
  return told_bytes_ = confirmed_bytes_;
}

void ChunkStream::Advance() {
  bool write = false;
  grpc::WriteOptions options;
  bool prepare = false;
  std::optional<absl::Status> finish;
  std::int64_t confirmed = 0;
  {
    const std::lock_guard lock(mutex_);
    if (finished_) return;
    const bool can_prepare = status_.ok() && !preparing_ && !source_done_;
    // What needs no worker needs not be prepared in advance either.
    const bool next_is_ready = can_prepare && source_->NextIsReady();
    if (next_is_ready && !writing_ && ready_.empty()) AddReady(source_->Next(NextConfirmation()));
    if (status_.ok() && !writing_ && !ready_.empty()) {
      written_.bytes.Swap(&ready_.front().bytes);
      written_.data_bytes = ready_.front().data_bytes;
      ready_.pop_front();
      writing_ = write = true;
      write_started_ = StreamLimiter::Clock::now();
      // gRPC may ask for the next message before it has sent this one, so that it never waits for us. What does not
      // fill its buffer could stay there for ever.
      if (!(source_done_ && ready_.empty()) && written_.bytes.Length() > chunk_bytes_) options.set_buffer_hint();
    }
    if (can_prepare && !next_is_ready && ready_.size() <= MaxReady() / 2) preparing_ = prepare = true;
    const bool sent = source_done_ && ready_.empty() && all_released_;
    if (!writing_ && !preparing_ && (!status_.ok() || sent)) {
      finished_ = true;
      finish = status_;
      confirmed = confirmed_bytes_;
    }
  }
  // Outside the lock: gRPC may call back from within these. Until the prepared message is there nothing can finish, so
  // the stream is alive when the write returns; after Finish it may not be.
  if (prepare) workers_.Schedule([stream = shared_from_this()] { stream->Prepare(); });
  if (write) call_.StartWrite(written_.bytes, options);
  if (!finish) return;
  // Also those files that no byte was read of.
  if (finish->ok()) *finish = source_->CheckUnchanged();
  if (finish->ok() && confirmed > 0) {
    ConfirmAndFinish(confirmed);
  } else {
    Finish(*finish);
  }
}

void ChunkStream::Finish(const absl::Status& status) {
  if (absl::IsAborted(status)) metrics_.CountFault(Fault::kFileChanged);
  if (absl::IsDataLoss(status)) metrics_.CountFault(Fault::kReadFailed);
  const grpc::Status result = wire::ToGrpc(status);
  count_.set_code(result.error_code());
  call_.Finish(result);
}

void ChunkStream::OnWriteDone(bool ok) {
  {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    if (ok) count_.CountMessage(written_.data_bytes);
    written_.bytes.Clear();
    if (!ok && status_.ok()) status_ = absl::CancelledError("the client went away");
  }
  Advance();
}

void ChunkStream::OnCancel() { End(absl::CancelledError("the call was cancelled or its deadline passed")); }

bool ChunkStream::CutOff(const StreamLimits& limits, StreamLimiter::Clock::time_point now) {
  using std::chrono::milliseconds;
  {
    const std::lock_guard lock(mutex_);
    if (done_ || (finished_ && !answered_) || !status_.ok()) return false;
    // Taken by gRPC is not yet taken by the client.
    const bool sending = writing_ || (source_done_ && ready_.empty());
    const bool stalled =
        limits.stall_timeout > milliseconds(0) && sending && now - write_started_ > limits.stall_timeout;
    const bool too_long = limits.max_duration > milliseconds(0) && now - started_ > limits.max_duration;
    if (!stalled && !too_long) return false;
    status_ = absl::CancelledError(stalled ? "the client took nothing for too long" : "the call took too long");
    if (stalled) metrics_.CountStalledStream();
    // What is in flight waits for the client: only this makes gRPC let go of it. The client sees CANCELLED. With the
    // lock held, so that the call does not end meanwhile.
    call_.context().TryCancel();
  }
  Advance();
  return true;
}

void ChunkStream::End(const absl::Status& error) {
  {
    const std::lock_guard lock(mutex_);
    if (status_.ok()) status_ = error;
  }
  Advance();
}

void ChunkStream::OnDone() {
  {
    const std::lock_guard lock(mutex_);
    done_ = true;
    if (answered_ && call_.context().IsCancelled()) {
      count_.set_code(grpc::StatusCode::CANCELLED);
    } else if (answered_) {
      count_.set_code(grpc::StatusCode::OK);
      count_.CountMessage(written_.data_bytes);
    }
  }
  std::exchange(self_, nullptr).reset();
}

}  // namespace tensorferry::server
