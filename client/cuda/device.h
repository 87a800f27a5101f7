// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CUDA_DEVICE_H_
#define TENSORFERRY_CLIENT_CUDA_DEVICE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "absl/status/statusor.h"
#include "client/cuda/primary_context.h"
#include "client/cuda/staging_ring.h"
#include "tensorferry/cuda.h"

namespace tensorferry::cuda {

// What we have of one GPU: its context, a stream and the ring. Safe for concurrent use by multiple threads.
class Device {
 public:
  // Errors: as CudaDevice::Open, but for the options, which must be valid.
  static absl::StatusOr<std::shared_ptr<Device>> Open(int ordinal, const CudaOptions& options);
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  // Waits for copies that are under way; leaves everything as it is if they are stuck.
  ~Device();

  const PrimaryContext& context() const { return *context_; }
  StagingRing& ring() { return *ring_; }

  // Our own stream, or the caller's. Errors: INVALID_ARGUMENT: it does not belong to this device's primary context.
  absl::StatusOr<CUstream> StreamFor(std::optional<CudaStream> stream) const;

  // Where the allocation begins that these bytes lie in; 0 of none. Errors: INVALID_ARGUMENT: they are not in one
  // allocation on this device.
  absl::StatusOr<CUdeviceptr> FindAllocation(const void* memory, std::int64_t size_bytes) const;

  // Errors: RESOURCE_EXHAUSTED: not that much is left.
  absl::StatusOr<CUdeviceptr> Allocate(std::int64_t size_bytes) const;
  void Free(CUdeviceptr memory) const;

 private:
  explicit Device(std::unique_ptr<PrimaryContext> context) : context_(std::move(context)) {}
  absl::Status MakeStream();

  std::unique_ptr<PrimaryContext> context_;
  CUstream stream_ = nullptr;
  std::unique_ptr<StagingRing> ring_;
};

}  // namespace tensorferry::cuda

#endif  // TENSORFERRY_CLIENT_CUDA_DEVICE_H_
