// SPDX-License-Identifier: Apache-2.0
#include "client/cuda/staging_ring.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "client/cuda/poll_backoff.h"

namespace tensorferry::cuda {
namespace {

using State = StagingBuffer::State;

// The limit for the pending copies of a buffer. More could fill the driver's queue, which makes the driver block.
constexpr std::size_t kMaxParts = 128;

// The number of failed polls in a row after which the device is lost. A driver may return an error of earlier work
// once.
constexpr int kMaxFailedPolls = 3;

// Copies the next `to.size()` bytes of `pieces` after the first `skip`.
void Gather(StagingRing::Pieces pieces, std::size_t skip, std::span<std::byte> to) {
  for (const std::span<const std::byte> piece : pieces) {
    if (to.empty()) return;
    const std::size_t skipped = std::min(skip, piece.size());
    skip -= skipped;
    const std::size_t size = std::min(piece.size() - skipped, to.size());
    std::memcpy(to.data(), piece.data() + skipped, size);
    to = to.subspan(size);
  }
}

}  // namespace

StagingRing::StagingRing(const PrimaryContext& context, const CudaOptions& options)
    : context_(context),
      submitter_(context),
      buffer_bytes_(static_cast<std::size_t>(options.staging_buffer_bytes)),
      buffers_(static_cast<std::size_t>(options.staging_buffers)) {}

absl::StatusOr<std::unique_ptr<StagingRing>> StagingRing::Create(const PrimaryContext& context,
                                                                 const CudaOptions& options) {
  std::unique_ptr<StagingRing> ring(new StagingRing(context, options));
  if (absl::Status status = ring->Allocate(); !status.ok()) return status;
  return ring;
}

absl::Status StagingRing::Allocate() {
  const MutexLock lock(&mutex_);
  const ContextScope scope(context_);
  const Driver& driver = context_.driver();
  const std::string action =
      fmt::format("cannot pin {} staging buffers of {} bytes for {}", buffers_.size(), buffer_bytes_, context_.name());
  if (scope.result() != CUDA_SUCCESS) return driver.ToStatus(scope.result(), action);
  void* memory = nullptr;
  const CUresult pinned = driver.cuMemHostAlloc(&memory, buffer_bytes_ * buffers_.size(), 0);
  if (pinned != CUDA_SUCCESS) return driver.ToStatus(pinned, action);
  memory_ = static_cast<std::byte*>(memory);
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    StagingBuffer& buffer = buffers_[i];
    buffer.memory = memory_ + i * buffer_bytes_;
    buffer.parts.reserve(kMaxParts);
    const CUresult created = driver.cuEventCreate(&buffer.event, CU_EVENT_DISABLE_TIMING);
    if (created == CUDA_SUCCESS) continue;
    buffer.event = nullptr;
    return driver.ToStatus(created, action);
  }
  return absl::OkStatus();
}

StagingRing::~StagingRing() {
  const ContextScope scope(context_);
  for (const StagingBuffer& buffer : buffers_) {
    if (buffer.event != nullptr) context_.driver().cuEventDestroy_v2(buffer.event);
  }
  if (memory_ != nullptr) context_.driver().cuMemFreeHost(memory_);
}

absl::Status StagingRing::AwaitIdle(CUdeviceptr to, std::size_t size_bytes, const FetchLimits& limits) {
  const MutexLock lock(&mutex_);
  const auto overlaps = [&](const Part& part) { return part.device < to + size_bytes && to < part.device + part.size; };
  for (PollBackoff backoff(limits);;) {
    const auto buffer = std::ranges::find_if(
        buffers_, [&](const StagingBuffer& each) { return std::ranges::any_of(each.parts, overlaps); });
    if (buffer == buffers_.end()) return absl::OkStatus();
    Reap();
    if (!buffer->failure.ok()) return buffer->failure;
    if (absl::Status status = backoff.Pause(mutex_, changed_); !status.ok()) return status;
  }
}

absl::Status StagingRing::Write(const std::shared_ptr<Transfer>& transfer, CUdeviceptr to, Pieces pieces,
                                const FetchLimits& limits) {
  std::size_t size = 0;
  for (const std::span<const std::byte> piece : pieces) size += piece.size();
  const MutexLock lock(&mutex_);
  for (std::size_t done = 0; done < size;) {
    const absl::StatusOr<StagingBuffer*> taken = TakeBuffer(*transfer, limits);
    if (!taken.ok()) return taken.status();
    StagingBuffer& buffer = **taken;
    const std::span<std::byte> room(buffer.memory + buffer.used, std::min(size - done, buffer_bytes_ - buffer.used));
    buffer.Add(transfer, to + done, room.size());
    if (buffer.used == buffer_bytes_ || buffer.parts.size() == kMaxParts) buffer.state = State::kClosed;
    ++buffer.writers;
    mutex_.Unlock();
    Gather(pieces, done, room);
    mutex_.Lock();
    if (--buffer.writers == 0 && buffer.state == State::kClosed) Submit(buffer);
    done += room.size();
  }
  return transfer->status;
}

absl::Status StagingRing::Finish(Transfer& transfer, const FetchLimits& limits) {
  const auto is_ours = [&](const Part& part) { return part.transfer.get() == &transfer; };
  const auto has_ours = [&](const StagingBuffer& buffer) { return std::ranges::any_of(buffer.parts, is_ours); };
  const MutexLock lock(&mutex_);
  for (PollBackoff backoff(limits); transfer.pending_parts > 0 && transfer.status.ok();) {
    if (CloseFilling(has_ours)) continue;
    Reap();
    if (transfer.pending_parts == 0) break;
    if (absl::Status status = backoff.Pause(mutex_, changed_); !status.ok()) return status;
  }
  return transfer.status;
}

void StagingRing::Abandon(Transfer& transfer, absl::Time until) {
  const auto is_ours = [&](const Part& part) { return part.transfer.get() == &transfer; };
  const MutexLock lock(&mutex_);
  for (StagingBuffer& buffer : buffers_) {
    if (buffer.state != State::kFilling) continue;
    transfer.pending_parts -= std::erase_if(buffer.parts, is_ours);
    if (buffer.parts.empty() && buffer.writers == 0) buffer.Free();
  }
  const FetchLimits limits{.deadline = until};
  for (PollBackoff backoff(limits); transfer.pending_parts > 0;) {
    Reap();
    if (transfer.pending_parts > 0 && !backoff.Pause(mutex_, changed_).ok()) return;
  }
}

bool StagingRing::Drain(absl::Time until) {
  const auto is_pending = [](const StagingBuffer& buffer) {
    return buffer.state == State::kPending && buffer.failure.ok();
  };
  const FetchLimits limits{.deadline = until};
  const MutexLock lock(&mutex_);
  for (PollBackoff backoff(limits); true;) {
    Reap();
    if (std::ranges::none_of(buffers_, is_pending)) return true;
    if (!backoff.Pause(mutex_, changed_).ok()) return false;
  }
}

absl::StatusOr<StagingBuffer*> StagingRing::TakeBuffer(const Transfer& transfer, const FetchLimits& limits) {
  for (PollBackoff backoff(limits); true;) {
    if (!transfer.status.ok()) return transfer.status;
    if (StagingBuffer* const buffer = FindFilling(transfer.stream)) return buffer;
    if (StagingBuffer* const buffer = FindFree()) {
      buffer->Take(transfer.stream);
      return buffer;
    }
    Reap();
    if (FindFree() != nullptr) continue;
    // Other threads may fill their buffers too slowly: send the bytes that these hold.
    if (CloseFilling([](const StagingBuffer&) { return true; })) continue;
    if (absl::Status lost = AllLost(); !lost.ok()) return lost;
    if (absl::Status status = backoff.Pause(mutex_, changed_); !status.ok()) return status;
  }
}

StagingBuffer* StagingRing::FindFilling(CUstream stream) {
  const auto found = std::ranges::find_if(buffers_, [=](const StagingBuffer& buffer) {
    return buffer.state == State::kFilling && buffer.stream == stream;
  });
  return found == buffers_.end() ? nullptr : &*found;
}

StagingBuffer* StagingRing::FindFree() {
  const auto found = std::ranges::find(buffers_, State::kFree, &StagingBuffer::state);
  return found == buffers_.end() ? nullptr : &*found;
}

absl::Status StagingRing::AllLost() const {
  const auto works = [](const StagingBuffer& buffer) { return buffer.failure.ok(); };
  return std::ranges::any_of(buffers_, works) ? absl::OkStatus() : buffers_.front().failure;
}

template <typename Wanted>
bool StagingRing::CloseFilling(const Wanted& wanted) {
  bool any = false;
  for (StagingBuffer& buffer : buffers_) {
    if (buffer.state != State::kFilling || !wanted(buffer)) continue;
    any = true;
    buffer.state = State::kClosed;
    if (buffer.writers == 0) Submit(buffer);
  }
  return any;
}

void StagingRing::Submit(StagingBuffer& buffer) {
  buffer.state = State::kSubmitting;
  mutex_.Unlock();
  const Submission submission = submitter_.Submit(buffer);
  mutex_.Lock();
  for (std::size_t i = 0; i < submission.parts.size(); ++i) {
    const CUresult result = submission.parts[i];
    if (result != CUDA_SUCCESS) buffer.parts[i].Fail(submitter_.ToStatus(result));
  }
  if (submission.recorded != CUDA_SUCCESS) buffer.Fail(submitter_.ToStatus(submission.recorded));
  if (submission.begun) {
    // Even if every copy failed: only a poll can say that none is pending.
    buffer.state = State::kPending;
    buffer.recorded = submission.recorded == CUDA_SUCCESS;
  } else {
    buffer.Complete();
    buffer.Free();
  }
  changed_.SignalAll();
}

void StagingRing::Reap() {
  if (reaping_) return;
  std::vector<StagingBuffer*> pending;
  for (StagingBuffer& buffer : buffers_) {
    if (buffer.state == State::kPending) pending.push_back(&buffer);
  }
  if (pending.empty()) return;
  reaping_ = true;
  mutex_.Unlock();
  const std::vector<PollResult> results = submitter_.Poll(pending);
  mutex_.Lock();
  reaping_ = false;
  for (std::size_t i = 0; i < pending.size(); ++i) Handle(results[i], *pending[i]);
  changed_.SignalAll();
}

void StagingRing::Handle(const PollResult& result, StagingBuffer& buffer) const {
  if (result.error != CUDA_SUCCESS) buffer.Fail(submitter_.ToStatus(result.error));
  switch (result.answer) {
    case CUDA_SUCCESS:
      buffer.Complete();
      buffer.Free();
      return;
    case CUDA_ERROR_NOT_READY:
      buffer.failed_polls = 0;
      buffer.failure = absl::OkStatus();
      return;
    default:
      if (++buffer.failed_polls < kMaxFailedPolls) return;
      if (buffer.failure.ok()) buffer.failure = submitter_.ToStatus(result.answer);
      // Ends the waits of the transfers. The buffer itself stays pending.
      buffer.Complete();
  }
}

}  // namespace tensorferry::cuda
