// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CUDA_STAGING_RING_H_
#define TENSORFERRY_CLIENT_CUDA_STAGING_RING_H_

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cuda/copier.h"
#include "client/cuda/primary_context.h"
#include "client/cuda/slot.h"
#include "tensorferry/cuda.h"
#include "tensorferry/destination.h"

namespace tensorferry::cuda {

// The pinned slots through which everything passes on its way to one device. Several fetches, and the threads of each,
// fill the same slots. No thread waits inside the driver: whoever waits looks at the events from time to time, so that
// limits hold even if the device is stuck. Safe for concurrent use by multiple threads.
class StagingRing {
 public:
  using Pieces = std::span<const std::span<const std::byte>>;

  // Pins the slots. `context` must outlive the ring. Errors: RESOURCE_EXHAUSTED: there is no memory to pin.
  static absl::StatusOr<std::unique_ptr<StagingRing>> Create(const PrimaryContext& context, const CudaOptions& options);
  StagingRing(const StagingRing&) = delete;
  StagingRing& operator=(const StagingRing&) = delete;
  // Frees the slots: to be preceded by a Drain that said that it may.
  ~StagingRing();

  // Waits until nothing from before is on its way to the `size_bytes` at `to`. Errors: those of `limits`; that of a
  // copy of which nobody knows whether it is still to come.
  absl::Status AwaitQuiet(CUdeviceptr to, std::size_t size_bytes, const FetchLimits& limits);

  // Takes `pieces` to `to`, through as many slots as that takes. Errors: those of `limits`, and of what `landing` wrote
  // before.
  absl::Status Write(const std::shared_ptr<Landing>& landing, CUdeviceptr to, Pieces pieces, const FetchLimits& limits);

  // Sends what is left and returns when all that `landing` wrote is on the device. Errors: as Write.
  absl::Status Finish(Landing& landing, const FetchLimits& limits);

  // Takes back what was not sent and returns when the rest is not under way any more, at `until` at the latest.
  void Abandon(Landing& landing, absl::Time until);

  // Copies from the device, on `stream`. Errors: those of `limits`.
  absl::Status Read(CUdeviceptr from, std::span<std::byte> to, CUstream stream, const FetchLimits& limits);

  // Returns whether everything was done at `until` at the latest, so that the memory can be freed.
  bool Drain(absl::Time until);

 private:
  using Lock = std::unique_lock<std::mutex>;

  StagingRing(const PrimaryContext& context, const CudaOptions& options);
  absl::Status Pin();

  // A slot with room for what `landing` writes: one that others fill, too, unless it is to be `own`. Errors: those of
  // `limits`, of `landing`, and of a device that gives no slot back.
  absl::StatusOr<Slot*> TakeSlot(Lock& lock, const Landing& landing, bool own, const FetchLimits& limits);
  Slot* FindOpen(CUstream stream);
  Slot* FindFree();
  // What the driver says of slots, if none can be had any more.
  absl::Status AllLost() const;
  // Sends the open slots that `wanted` says yes to; returns whether there were any.
  template <typename Wanted>
  bool CloseOpen(Lock& lock, const Wanted& wanted);
  // Issues the copies of a slot that nobody fills any more.
  void Issue(Lock& lock, Slot& slot);
  // Asks the driver which slots are done, and frees those.
  void Reap(Lock& lock);
  // Takes what the driver said of a slot that is under way.
  void Settle(Slot& slot, const Look& look) const;

  const PrimaryContext& context_;
  const Copier copier_;
  const std::size_t slot_bytes_;
  std::byte* memory_ = nullptr;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  bool reaping_ = false;
  std::vector<Slot> slots_;
};

}  // namespace tensorferry::cuda

#endif  // TENSORFERRY_CLIENT_CUDA_STAGING_RING_H_
