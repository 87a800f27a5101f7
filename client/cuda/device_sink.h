// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CUDA_DEVICE_SINK_H_
#define TENSORFERRY_CLIENT_CUDA_DEVICE_SINK_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cuda/device.h"
#include "tensorferry/destination.h"

namespace tensorferry::cuda {

// Writes the bytes of one fetch into device memory, through the device's staging buffers.
class DeviceSink final : public Sink {
 public:
  // Errors: as CudaDevice::Span documents for a fetch.
  static absl::StatusOr<std::unique_ptr<Sink>> Open(std::shared_ptr<Device> device, void* memory,
                                                    std::int64_t size_bytes, std::optional<CudaStream> stream);

  std::int64_t size_bytes() const override { return size_bytes_; }
  absl::Status Begin(const FetchLimits& limits) override;
  absl::Status Write(std::int64_t offset, std::span<const std::byte> data) override;
  absl::Status WriteAll(std::int64_t offset, std::span<const std::span<const std::byte>> pieces) override;
  absl::Status Finish() override;
  void Abandon(absl::Time until) override;

 private:
  DeviceSink(std::shared_ptr<Device> device, CUdeviceptr memory, CUdeviceptr allocation, std::int64_t size_bytes,
             CUstream stream);

  const std::shared_ptr<Device> device_;
  const CUdeviceptr memory_;
  const std::int64_t size_bytes_;
  // Shared with the ring, where parts of a failed transfer may stay pending.
  const std::shared_ptr<Transfer> transfer_;
  FetchLimits limits_;
};

}  // namespace tensorferry::cuda

#endif  // TENSORFERRY_CLIENT_CUDA_DEVICE_SINK_H_
