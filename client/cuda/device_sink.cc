// SPDX-License-Identifier: Apache-2.0
#include "client/cuda/device_sink.h"

#include <utility>

namespace tensorferry::cuda {

absl::StatusOr<std::unique_ptr<Sink>> DeviceSink::Open(std::shared_ptr<Device> device, void* memory,
                                                       std::int64_t size_bytes, std::optional<CudaStream> stream) {
  const absl::StatusOr<CUstream> handle = device->StreamFor(stream);
  if (!handle.ok()) return handle.status();
  const absl::StatusOr<CUdeviceptr> allocation = device->FindAllocation(memory, size_bytes);
  if (!allocation.ok()) return allocation.status();
  return std::unique_ptr<Sink>(
      new DeviceSink(std::move(device), reinterpret_cast<CUdeviceptr>(memory), *allocation, size_bytes, *handle));
}

DeviceSink::DeviceSink(std::shared_ptr<Device> device, CUdeviceptr memory, CUdeviceptr allocation,
                       std::int64_t size_bytes, CUstream stream)
    : device_(std::move(device)),
      memory_(memory),
      size_bytes_(size_bytes),
      transfer_(std::make_shared<Transfer>(stream, allocation)) {}

absl::Status DeviceSink::Begin(const FetchLimits& limits) {
  limits_ = limits;
  return device_->ring().AwaitIdle(memory_, static_cast<std::size_t>(size_bytes_), limits_);
}

absl::Status DeviceSink::Write(std::int64_t offset, std::span<const std::byte> data) {
  return WriteAll(offset, {&data, 1});
}

absl::Status DeviceSink::WriteAll(std::int64_t offset, std::span<const std::span<const std::byte>> pieces) {
  return device_->ring().Write(transfer_, memory_ + static_cast<CUdeviceptr>(offset), pieces, limits_);
}

absl::Status DeviceSink::Finish() { return device_->ring().Finish(*transfer_, limits_); }

void DeviceSink::Abandon(absl::Time until) { device_->ring().Abandon(*transfer_, until); }

}  // namespace tensorferry::cuda
