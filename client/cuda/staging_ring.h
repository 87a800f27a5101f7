// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CUDA_STAGING_RING_H_
#define TENSORFERRY_CLIENT_CUDA_STAGING_RING_H_

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cuda/primary_context.h"
#include "client/cuda/staging_buffer.h"
#include "client/cuda/submitter.h"
#include "lib/sync/mutex.h"
#include "tensorferry/cuda.h"
#include "tensorferry/destination.h"

namespace tensorferry::cuda {

// The staging buffers of one device. Several fetches, each with several threads, fill the same buffers. No thread waits
// inside the driver. Threads poll the events instead, so that limits hold even if the device is stuck. Safe for
// concurrent use by multiple threads.
class StagingRing {
 public:
  using Pieces = std::span<const std::span<const std::byte>>;

  // Allocates the buffers. `context` must outlive the ring. Errors: RESOURCE_EXHAUSTED: there is no memory to pin.
  static absl::StatusOr<std::unique_ptr<StagingRing>> Create(const PrimaryContext& context, const CudaOptions& options);
  StagingRing(const StagingRing&) = delete;
  StagingRing& operator=(const StagingRing&) = delete;
  // Frees the buffers. Drain must have returned true before.
  ~StagingRing();

  // Waits until no earlier copy to the `size_bytes` at `to` is pending. Errors: those of `limits`; the error of a copy
  // that may still be pending on a lost device.
  absl::Status AwaitIdle(CUdeviceptr to, std::size_t size_bytes, const FetchLimits& limits) ABSL_LOCKS_EXCLUDED(mutex_);

  // Copies `pieces` to `to`, through as many buffers as needed. Errors: those of `limits`, and of what `transfer` wrote
  // before.
  absl::Status Write(const std::shared_ptr<Transfer>& transfer, CUdeviceptr to, Pieces pieces,
                     const FetchLimits& limits) ABSL_LOCKS_EXCLUDED(mutex_);

  // Sends the rest and returns when everything that `transfer` wrote is on the device. Errors: as Write.
  absl::Status Finish(Transfer& transfer, const FetchLimits& limits) ABSL_LOCKS_EXCLUDED(mutex_);

  // Discards the bytes that were not sent. Returns when no copy of the others is pending, at `until` at the latest.
  void Abandon(Transfer& transfer, absl::Time until) ABSL_LOCKS_EXCLUDED(mutex_);

  // Waits until no copy is pending, so that the memory can be freed. Returns false if copies are pending at `until`.
  bool Drain(absl::Time until) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  StagingRing(const PrimaryContext& context, const CudaOptions& options);
  absl::Status Allocate() ABSL_LOCKS_EXCLUDED(mutex_);

  // Returns a buffer with room for `transfer`, which other transfers of the same stream may share. Errors: those of
  // `limits`, of `transfer`, and of a device that returns no buffer.
  absl::StatusOr<StagingBuffer*> TakeBuffer(const Transfer& transfer, const FetchLimits& limits)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  StagingBuffer* FindFilling(CUstream stream) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  StagingBuffer* FindFree() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Returns the driver's error if all buffers are lost.
  absl::Status AllLost() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Closes the buffers in kFilling for which `wanted` returns true. Returns true if there were any.
  template <typename Wanted>
  bool CloseFilling(const Wanted& wanted) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Submits the copies of a closed buffer without writers. Releases the lock during the calls of the driver.
  void Submit(StagingBuffer& buffer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Polls the pending buffers, and frees those whose copies are complete. Releases the lock during the calls. Does
  // nothing while another thread polls.
  void Reap() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Handle(const PollResult& result, StagingBuffer& buffer) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const PrimaryContext& context_;
  const Submitter submitter_;
  const std::size_t buffer_bytes_;
  std::byte* memory_ = nullptr;
  mutable Mutex mutex_;
  CondVar changed_;
  bool reaping_ ABSL_GUARDED_BY(mutex_) = false;
  // Its size never changes.
  std::vector<StagingBuffer> buffers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tensorferry::cuda

#endif  // TENSORFERRY_CLIENT_CUDA_STAGING_RING_H_
