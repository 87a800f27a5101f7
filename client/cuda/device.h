// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CUDA_DEVICE_H_
#define TENSORFERRY_CLIENT_CUDA_DEVICE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cuda/primary_context.h"
#include "client/cuda/staging_ring.h"
#include "tensorferry/cuda.h"

namespace tensorferry::cuda {

// The resources of one GPU that this process holds: the context, a stream and the staging buffers. Safe for concurrent
// use by multiple threads.
class Device {
 public:
  // Opens one more device object: only OpenDevice (device_registry.h) and its tests should. The options must be valid.
  // Errors: as CudaDevice::Open.
  static absl::StatusOr<std::shared_ptr<Device>> Create(int ordinal, const CudaOptions& options);
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  // Waits for pending copies. If they are stuck, leaks everything that they use.
  ~Device();

  const CudaOptions& options() const { return options_; }
  const PrimaryContext& context() const { return *context_; }
  StagingRing& ring() { return *ring_; }

  // Returns our own stream, or the caller's. Errors: INVALID_ARGUMENT: it is not one of this device's primary context.
  absl::StatusOr<CUstream> StreamFor(std::optional<CudaStream> stream) const;

  // Returns the start of the allocation that contains these bytes; 0 if there are none. Errors: INVALID_ARGUMENT: they
  // are not in one allocation on this device.
  absl::StatusOr<CUdeviceptr> FindAllocation(const void* memory, std::int64_t size_bytes) const;

  // Errors: RESOURCE_EXHAUSTED: the device has not enough free memory.
  absl::StatusOr<CUdeviceptr> Allocate(std::int64_t size_bytes) const;
  void Free(CUdeviceptr memory) const;

 private:
  Device(const CudaOptions& options, std::unique_ptr<PrimaryContext> context)
      : options_(options), context_(std::move(context)) {}
  absl::Status CreateStream();

  const CudaOptions options_;
  std::unique_ptr<PrimaryContext> context_;
  CUstream stream_ = nullptr;
  std::unique_ptr<StagingRing> ring_;
};

}  // namespace tensorferry::cuda

#endif  // TENSORFERRY_CLIENT_CUDA_DEVICE_H_
