// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "client/cuda/device.h"
#include "tensorferry/cuda.h"

namespace tensorferry {
namespace cuda {

// Where a destination is, and how the fetch that fills it is doing.
class Target {
 public:
  Target(std::shared_ptr<Device> device, void* memory, CUdeviceptr allocation, std::int64_t size_bytes, CUstream stream)
      : device_(std::move(device)),
        memory_(reinterpret_cast<CUdeviceptr>(memory)),
        allocation_(allocation),
        size_bytes_(size_bytes),
        stream_(stream) {}

  std::int64_t size_bytes() const { return size_bytes_; }

  absl::Status Begin(const FetchLimits& limits) {
    limits_ = limits;
    // What an earlier fetch left behind has a landing of its own.
    landing_ = std::make_shared<Landing>(stream_, allocation_);
    return device_->ring().AwaitQuiet(memory_, static_cast<std::size_t>(size_bytes_), limits);
  }
  absl::Status Write(std::int64_t offset, StagingRing::Pieces pieces) {
    return device_->ring().Write(landing_, memory_ + static_cast<CUdeviceptr>(offset), pieces, limits_);
  }
  absl::Status Finish() { return device_->ring().Finish(*landing_, limits_); }
  void Abandon(absl::Time until) {
    if (landing_ != nullptr) device_->ring().Abandon(*landing_, until);
  }

 private:
  const std::shared_ptr<Device> device_;
  const CUdeviceptr memory_;
  const CUdeviceptr allocation_;
  const std::int64_t size_bytes_;
  const CUstream stream_;
  FetchLimits limits_;
  std::shared_ptr<Landing> landing_;
};

}  // namespace cuda

absl::StatusOr<CudaDestination> CudaDestination::Create(const CudaDevice& device, void* memory, std::int64_t size_bytes,
                                                        std::optional<CudaStream> stream) {
  const absl::StatusOr<CUstream> handle = device.device_->StreamFor(stream);
  if (!handle.ok()) return handle.status();
  const absl::StatusOr<CUdeviceptr> allocation = device.device_->FindAllocation(memory, size_bytes);
  if (!allocation.ok()) return allocation.status();
  return CudaDestination(std::make_unique<cuda::Target>(device.device_, memory, *allocation, size_bytes, *handle));
}

CudaDestination::CudaDestination(std::unique_ptr<cuda::Target> target) : target_(std::move(target)) {}
CudaDestination::CudaDestination(CudaDestination&&) noexcept = default;
CudaDestination& CudaDestination::operator=(CudaDestination&&) noexcept = default;
CudaDestination::~CudaDestination() = default;

std::int64_t CudaDestination::size_bytes() const { return target_->size_bytes(); }

absl::Status CudaDestination::Begin(const FetchLimits& limits) { return target_->Begin(limits); }

absl::Status CudaDestination::Write(std::int64_t offset, std::span<const std::byte> data) {
  return target_->Write(offset, {&data, 1});
}

absl::Status CudaDestination::WriteAll(std::int64_t offset, std::span<const std::span<const std::byte>> pieces) {
  return target_->Write(offset, pieces);
}

absl::Status CudaDestination::Finish() { return target_->Finish(); }

void CudaDestination::Abandon(absl::Time until) { target_->Abandon(until); }

}  // namespace tensorferry
