// SPDX-License-Identifier: Apache-2.0
#include "client/cuda/staging_ring.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "client/cuda/patience.h"

namespace tensorferry::cuda {
namespace {

using State = Slot::State;

// More copies than these (times the slots) could fill the driver's queue, and then it would block.
constexpr std::size_t kMaxParts = 128;

// A driver may answer once with an error of earlier work. One that does not answer that often has lost the device.
constexpr int kMaxUnanswered = 3;

// Copies the first `to.size()` bytes of `pieces`, of which `skip` were taken before.
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
      copier_(context),
      slot_bytes_(static_cast<std::size_t>(options.slot_bytes)),
      slots_(static_cast<std::size_t>(options.slot_count)) {}

absl::StatusOr<std::unique_ptr<StagingRing>> StagingRing::Create(const PrimaryContext& context,
                                                                 const CudaOptions& options) {
  std::unique_ptr<StagingRing> ring(new StagingRing(context, options));
  if (absl::Status status = ring->Pin(); !status.ok()) return status;
  return ring;
}

absl::Status StagingRing::Pin() {
  const ContextScope scope(context_);
  const Driver& driver = context_.driver();
  const std::string action =
      fmt::format("cannot pin {} slots of {} bytes for {}", slots_.size(), slot_bytes_, context_.name());
  if (scope.result() != CUDA_SUCCESS) return driver.ToStatus(scope.result(), action);
  void* memory = nullptr;
  const CUresult pinned = driver.cuMemHostAlloc(&memory, slot_bytes_ * slots_.size(), 0);
  if (pinned != CUDA_SUCCESS) return driver.ToStatus(pinned, action);
  memory_ = static_cast<std::byte*>(memory);
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    slot.memory = memory_ + i * slot_bytes_;
    slot.parts.reserve(kMaxParts);
    const CUresult created = driver.cuEventCreate(&slot.event, CU_EVENT_DISABLE_TIMING);
    if (created == CUDA_SUCCESS) continue;
    slot.event = nullptr;
    return driver.ToStatus(created, action);
  }
  return absl::OkStatus();
}

StagingRing::~StagingRing() {
  const ContextScope scope(context_);
  for (const Slot& slot : slots_) {
    if (slot.event != nullptr) context_.driver().cuEventDestroy(slot.event);
  }
  if (memory_ != nullptr) context_.driver().cuMemFreeHost(memory_);
}

absl::Status StagingRing::AwaitQuiet(CUdeviceptr to, std::size_t size_bytes, const FetchLimits& limits) {
  Lock lock(mutex_);
  const auto overlaps = [&](const Part& part) { return part.device < to + size_bytes && to < part.device + part.size; };
  for (Patience patience(limits);;) {
    const auto slot =
        std::ranges::find_if(slots_, [&](const Slot& s) { return std::ranges::any_of(s.parts, overlaps); });
    if (slot == slots_.end()) return absl::OkStatus();
    Reap(lock);
    if (!slot->failure.ok()) return slot->failure;
    if (absl::Status status = patience.Wait(lock, changed_); !status.ok()) return status;
  }
}

absl::Status StagingRing::Write(const std::shared_ptr<Landing>& landing, CUdeviceptr to, Pieces pieces,
                                const FetchLimits& limits) {
  std::size_t size = 0;
  for (const std::span<const std::byte> piece : pieces) size += piece.size();
  Lock lock(mutex_);
  for (std::size_t done = 0; done < size;) {
    const absl::StatusOr<Slot*> taken = TakeSlot(lock, *landing, /*own=*/false, limits);
    if (!taken.ok()) return taken.status();
    Slot& slot = **taken;
    const std::span<std::byte> room(slot.memory + slot.used, std::min(size - done, slot_bytes_ - slot.used));
    slot.Add(landing, to + done, room.size());
    if (slot.used == slot_bytes_ || slot.parts.size() == kMaxParts) slot.state = State::kClosed;
    ++slot.writers;
    lock.unlock();
    Gather(pieces, done, room);
    lock.lock();
    if (--slot.writers == 0 && slot.state == State::kClosed) Issue(lock, slot);
    done += room.size();
  }
  return landing->status;
}

absl::Status StagingRing::Finish(Landing& landing, const FetchLimits& limits) {
  const auto is_its = [&](const Part& part) { return part.landing.get() == &landing; };
  Lock lock(mutex_);
  for (Patience patience(limits); landing.parts_under_way > 0 && landing.status.ok();) {
    if (CloseOpen(lock, [&](const Slot& slot) { return std::ranges::any_of(slot.parts, is_its); })) continue;
    Reap(lock);
    if (landing.parts_under_way == 0) break;
    if (absl::Status status = patience.Wait(lock, changed_); !status.ok()) return status;
  }
  return landing.status;
}

void StagingRing::Abandon(Landing& landing, absl::Time until) {
  Lock lock(mutex_);
  for (Slot& slot : slots_) {
    if (slot.state != State::kOpen) continue;
    landing.parts_under_way -=
        std::erase_if(slot.parts, [&](const Part& part) { return part.landing.get() == &landing; });
    if (slot.parts.empty() && slot.writers == 0) slot.Free();
  }
  const FetchLimits limits{.deadline = until};
  for (Patience patience(limits); landing.parts_under_way > 0;) {
    Reap(lock);
    if (landing.parts_under_way > 0 && !patience.Wait(lock, changed_).ok()) return;
  }
}

absl::Status StagingRing::Read(CUdeviceptr from, std::span<std::byte> to, CUstream stream, const FetchLimits& limits) {
  Lock lock(mutex_);
  while (!to.empty()) {
    // Alone in its slot, so that it goes on with nothing.
    const auto landing = std::make_shared<Landing>(stream, from);
    const absl::StatusOr<Slot*> taken = TakeSlot(lock, *landing, /*own=*/true, limits);
    if (!taken.ok()) return taken.status();
    Slot& slot = **taken;
    const std::size_t size = std::min(to.size(), slot_bytes_);
    slot.from_device = true;
    slot.kept = true;
    slot.Add(landing, from, size);
    Issue(lock, slot);
    absl::Status status;
    for (Patience patience(limits); landing->parts_under_way > 0 && landing->status.ok() && status.ok();) {
      Reap(lock);
      if (landing->parts_under_way > 0) status = patience.Wait(lock, changed_);
    }
    if (status.ok()) status = landing->status;
    if (!status.ok()) {
      slot.kept = false;
      if (slot.state == State::kRead) slot.Free();
      return status;
    }
    lock.unlock();
    std::memcpy(to.data(), slot.memory, size);
    lock.lock();
    slot.Free();
    changed_.notify_all();
    to = to.subspan(size);
    from += size;
  }
  return absl::OkStatus();
}

bool StagingRing::Drain(absl::Time until) {
  const FetchLimits limits{.deadline = until};
  const auto is_under_way = [](const Slot& slot) { return slot.state == State::kUnderWay && slot.failure.ok(); };
  Lock lock(mutex_);
  for (Patience patience(limits); true;) {
    Reap(lock);
    if (std::ranges::none_of(slots_, is_under_way)) return true;
    if (!patience.Wait(lock, changed_).ok()) return false;
  }
}

absl::StatusOr<Slot*> StagingRing::TakeSlot(Lock& lock, const Landing& landing, bool own, const FetchLimits& limits) {
  for (Patience patience(limits); true;) {
    if (!landing.status.ok()) return landing.status;
    Slot* slot = own ? nullptr : FindOpen(landing.stream);
    if (slot != nullptr) return slot;
    slot = FindFree();
    if (slot != nullptr) {
      slot->Open(landing.stream);
      return slot;
    }
    Reap(lock);
    if (FindFree() != nullptr) continue;
    // Nobody waits for slots that others fill too slowly.
    if (CloseOpen(lock, [](const Slot&) { return true; })) continue;
    if (absl::Status lost = AllLost(); !lost.ok()) return lost;
    if (absl::Status status = patience.Wait(lock, changed_); !status.ok()) return status;
  }
}

Slot* StagingRing::FindOpen(CUstream stream) {
  const auto found =
      std::ranges::find_if(slots_, [=](const Slot& s) { return s.state == State::kOpen && s.stream == stream; });
  return found == slots_.end() ? nullptr : &*found;
}

Slot* StagingRing::FindFree() {
  const auto found = std::ranges::find(slots_, State::kFree, &Slot::state);
  return found == slots_.end() ? nullptr : &*found;
}

absl::Status StagingRing::AllLost() const {
  if (std::ranges::any_of(slots_, [](const Slot& slot) { return slot.failure.ok(); })) return absl::OkStatus();
  return slots_.front().failure;
}

template <typename Wanted>
bool StagingRing::CloseOpen(Lock& lock, const Wanted& wanted) {
  bool any = false;
  for (Slot& slot : slots_) {
    if (slot.state != State::kOpen || !wanted(slot)) continue;
    any = true;
    slot.state = State::kClosed;
    if (slot.writers == 0) Issue(lock, slot);
  }
  return any;
}

void StagingRing::Issue(Lock& lock, Slot& slot) {
  slot.state = State::kIssuing;
  lock.unlock();
  const Issued issued = copier_.Issue(slot);
  lock.lock();
  for (std::size_t i = 0; i < issued.parts.size(); ++i) {
    if (issued.parts[i] != CUDA_SUCCESS) slot.parts[i].Fail(copier_.ToStatus(issued.parts[i]));
  }
  if (issued.recorded != CUDA_SUCCESS) slot.Fail(copier_.ToStatus(issued.recorded));
  if (issued.begun) {
    // Also if every copy failed: only the next look tells that none is under way.
    slot.state = State::kUnderWay;
    slot.recorded = issued.recorded == CUDA_SUCCESS;
  } else {
    slot.Settle();
    slot.Free();
  }
  changed_.notify_all();
}

void StagingRing::Reap(Lock& lock) {
  if (reaping_) return;
  std::vector<Slot*> slots;
  for (Slot& slot : slots_) {
    if (slot.state == State::kUnderWay) slots.push_back(&slot);
  }
  if (slots.empty()) return;
  reaping_ = true;
  lock.unlock();
  const std::vector<Look> looks = copier_.Query(slots);
  lock.lock();
  reaping_ = false;
  for (std::size_t i = 0; i < slots.size(); ++i) Settle(*slots[i], looks[i]);
  changed_.notify_all();
}

void StagingRing::Settle(Slot& slot, const Look& look) const {
  if (look.error != CUDA_SUCCESS) slot.Fail(copier_.ToStatus(look.error));
  if (look.answer == CUDA_ERROR_NOT_READY) {
    slot.unanswered = 0;
    slot.failure = absl::OkStatus();
    return;
  }
  if (look.answer != CUDA_SUCCESS) {
    if (++slot.unanswered < kMaxUnanswered) return;
    if (slot.failure.ok()) slot.failure = copier_.ToStatus(look.answer);
  }
  slot.Settle();
  if (look.answer != CUDA_SUCCESS) return;
  if (slot.kept) {
    slot.state = State::kRead;
  } else {
    slot.Free();
  }
}

}  // namespace tensorferry::cuda
