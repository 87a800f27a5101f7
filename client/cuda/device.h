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
  // Creates a device object. To be called only by OpenDevice and its tests. The options must be valid. Errors: as
  // CudaDevice::Open.
  static absl::StatusOr<std::shared_ptr<Device>> Create(int ordinal, const CudaOptions& options);
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  // Waits for pending copies. If they are stuck, leaks everything that they use.
  ~Device();

  const CudaOptions& options() const { return options_; }
  const PrimaryContext& context() const { return *context_; }
  StagingRing& ring() { return *ring_; }

  // Returns the caller's stream, or the internal one if there is none. Errors: INVALID_ARGUMENT: the stream does not
  // belong to this device's primary context.
  absl::StatusOr<CUstream> StreamFor(std::optional<CudaStream> stream) const;

  // Returns the start of the allocation that contains these bytes; 0 if there are none. Errors: INVALID_ARGUMENT: they
  // are not in one allocation on this device.
  absl::StatusOr<CUdeviceptr> FindAllocation(const void* memory, std::int64_t size_bytes) const;

  // Allocates device memory. Errors: RESOURCE_EXHAUSTED: the device does not have enough free memory.
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
