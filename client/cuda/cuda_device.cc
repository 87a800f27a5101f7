// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <utility>

#include "client/cuda/device.h"
#include "client/cuda/device_registry.h"
#include "client/cuda/device_sink.h"
#include "tensorferry/cuda.h"

namespace tensorferry {

absl::StatusOr<CudaDevice> CudaDevice::Open(int ordinal, const CudaOptions& options) {
  constexpr std::int64_t kMinBytes = 4 << 10;
  constexpr std::int64_t kMaxBytes = 1 << 30;
  constexpr int kMinBuffers = 2;
  constexpr int kMaxBuffers = 64;
  if (options.staging_buffer_bytes < kMinBytes || options.staging_buffer_bytes > kMaxBytes) {
    return absl::InvalidArgumentError(fmt::format("staging_buffer_bytes is {}: it must be from {} to {}",
                                                  options.staging_buffer_bytes, kMinBytes, kMaxBytes));
  }
  if (options.staging_buffers < kMinBuffers || options.staging_buffers > kMaxBuffers) {
    return absl::InvalidArgumentError(fmt::format("staging_buffers is {}: it must be from {} to {}",
                                                  options.staging_buffers, kMinBuffers, kMaxBuffers));
  }
  absl::StatusOr<std::shared_ptr<cuda::Device>> device = cuda::OpenDevice(ordinal, options);
  if (!device.ok()) return device.status();
  return CudaDevice(*std::move(device));
}

int CudaDevice::ordinal() const { return device_->context().ordinal(); }

const std::string& CudaDevice::model_name() const { return device_->context().model_name(); }

absl::StatusOr<CudaMemory> CudaDevice::Allocate(std::int64_t size_bytes) const {
  if (size_bytes < 0) return absl::InvalidArgumentError(fmt::format("size of {} bytes is negative", size_bytes));
  if (size_bytes == 0) return CudaMemory(nullptr, 0);
  const absl::StatusOr<cuda::CUdeviceptr> memory = device_->Allocate(size_bytes);
  if (!memory.ok()) return memory.status();
  const auto free = [device = device_](void* freed) { device->Free(reinterpret_cast<cuda::CUdeviceptr>(freed)); };
  return CudaMemory(std::shared_ptr<void>(reinterpret_cast<void*>(*memory), free), size_bytes);
}

Destination CudaDevice::Span(void* memory, std::int64_t size_bytes, std::optional<CudaStream> stream) const {
  return Destination::Opened(size_bytes, [device = device_, memory, size_bytes, stream] {
    return cuda::DeviceSink::Open(device, memory, size_bytes, stream);
  });
}

}  // namespace tensorferry
