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
#include "client/cuda/primary_context.h"
#include "client/cuda/staging_buffer.h"
#include "client/cuda/submitter.h"
#include "tensorferry/cuda.h"
#include "tensorferry/destination.h"

namespace tensorferry::cuda {

// The staging buffers of one device. Several fetches, each with several threads, fill the same buffers. No thread waits
// inside the driver: threads poll the events, so that limits hold even if the device is stuck. Safe for concurrent use
// by multiple threads.
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
  absl::Status AwaitIdle(CUdeviceptr to, std::size_t size_bytes, const FetchLimits& limits);

  // Copies `pieces` to `to`, through as many buffers as needed. Errors: those of `limits`, and of what `transfer` wrote
  // before.
  absl::Status Write(const std::shared_ptr<Transfer>& transfer, CUdeviceptr to, Pieces pieces,
                     const FetchLimits& limits);

  // Sends the rest and returns when everything that `transfer` wrote is on the device. Errors: as Write.
  absl::Status Finish(Transfer& transfer, const FetchLimits& limits);

  // Discards what was not sent and returns when no copy of the rest is pending, at `until` at the latest.
  void Abandon(Transfer& transfer, absl::Time until);

  // Waits until no copy is pending, so that the memory can be freed. Returns false if that is not so at `until`.
  bool Drain(absl::Time until);

 private:
  using Lock = std::unique_lock<std::mutex>;

  StagingRing(const PrimaryContext& context, const CudaOptions& options);
  absl::Status Allocate();

  // Returns a buffer with room for `transfer`, which other transfers of the same stream may share. Errors: those of
  // `limits`, of `transfer`, and of a device that returns no buffer.
  absl::StatusOr<StagingBuffer*> TakeBuffer(Lock& lock, const Transfer& transfer, const FetchLimits& limits);
  StagingBuffer* FindFilling(CUstream stream);
  StagingBuffer* FindFree();
  // Returns the driver's error if all buffers are lost.
  absl::Status AllLost() const;
  // Closes the buffers in kFilling for which `wanted` returns true. Returns true if there were any.
  template <typename Wanted>
  bool CloseFilling(Lock& lock, const Wanted& wanted);
  // Submits the copies of a closed buffer without writers.
  void Submit(Lock& lock, StagingBuffer& buffer);
  // Polls the pending buffers, and frees those whose copies are complete. One thread at a time does.
  void Reap(Lock& lock);
  void Handle(const PollResult& result, StagingBuffer& buffer) const;

  const PrimaryContext& context_;
  const Submitter submitter_;
  const std::size_t buffer_bytes_;
  std::byte* memory_ = nullptr;
  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  bool reaping_ = false;
  std::vector<StagingBuffer> buffers_;
};

}  // namespace tensorferry::cuda

#endif  // TENSORFERRY_CLIENT_CUDA_STAGING_RING_H_
