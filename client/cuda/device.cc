// SPDX-License-Identifier: Apache-2.0
#include "client/cuda/device.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "absl/time/clock.h"

namespace tensorferry::cuda {
namespace {

// The time that a device gets for its pending copies when it is closed.
constexpr absl::Duration kMaxDrainTime = absl::Seconds(5);

CUdeviceptr AddressOf(const void* memory) { return reinterpret_cast<CUdeviceptr>(memory); }

}  // namespace

absl::StatusOr<std::shared_ptr<Device>> Device::Create(int ordinal, const CudaOptions& options) {
  absl::StatusOr<std::unique_ptr<PrimaryContext>> context = PrimaryContext::Retain(ordinal);
  if (!context.ok()) return context.status();
  std::shared_ptr<Device> device(new Device(options, *std::move(context)));
  if (absl::Status status = device->CreateStream(); !status.ok()) return status;
  absl::StatusOr<std::unique_ptr<StagingRing>> ring = StagingRing::Create(device->context(), options);
  if (!ring.ok()) return ring.status();
  device->ring_ = *std::move(ring);
  return device;
}

absl::Status Device::CreateStream() {
  const ContextScope scope(*context_);
  CUresult result = scope.result();
  // Non-blocking: independent of the legacy default stream, which others in this process may use.
  if (result == CUDA_SUCCESS) result = context_->driver().cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING);
  if (result != CUDA_SUCCESS) stream_ = nullptr;
  return context_->driver().ToStatus(result, fmt::format("cannot create a stream on {}", context_->name()));
}

Device::~Device() {
  if (ring_ != nullptr && !ring_->Drain(absl::Now() + kMaxDrainTime)) {
    // The device may still read from the staging buffers later. Leaked memory is better than wrong bytes.
    static_cast<void>(ring_.release());
    static_cast<void>(context_.release());
    return;
  }
  ring_.reset();
  if (stream_ == nullptr) return;
  const ContextScope scope(*context_);
  context_->driver().cuStreamDestroy_v2(stream_);
}

absl::StatusOr<CUstream> Device::StreamFor(std::optional<CudaStream> stream) const {
  if (!stream) return stream_;
  const auto handle = static_cast<CUstream>(stream->handle);
  // This handle means another stream in each thread, and several threads submit copies.
  if (handle == PerThreadStream()) {
    return absl::InvalidArgumentError("the per-thread default stream cannot be used: create a stream and pass it");
  }
  // The legacy default stream is that of the current context.
  if (handle == nullptr || handle == LegacyStream()) return handle;
  const ContextScope scope(*context_);
  CUcontext owner = nullptr;
  CUresult result = scope.result();
  if (result == CUDA_SUCCESS) result = context_->driver().cuStreamGetCtx(handle, &owner);
  if (absl::Status status = context_->driver().ToStatus(result, "cannot use the stream"); !status.ok()) {
    return result == CUDA_ERROR_INVALID_HANDLE || result == CUDA_ERROR_INVALID_CONTEXT
               ? absl::InvalidArgumentError(status.message())
               : status;
  }
  if (owner == context_->handle()) return handle;
  return absl::InvalidArgumentError(
      fmt::format("the stream does not belong to the primary context of {}", context_->name()));
}

absl::StatusOr<CUdeviceptr> Device::FindAllocation(const void* memory, std::int64_t size_bytes) const {
  if (size_bytes < 0) return absl::InvalidArgumentError(fmt::format("size of {} bytes is negative", size_bytes));
  if (size_bytes == 0) return CUdeviceptr{0};
  unsigned type = 0;
  unsigned managed = 0;
  int ordinal = -1;
  CUdeviceptr start = 0;
  std::size_t size = 0;
  std::array attributes = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_IS_MANAGED,
                           CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR,
                           CU_POINTER_ATTRIBUTE_RANGE_SIZE};
  std::array<void*, attributes.size()> values = {&type, &managed, &ordinal, &start, &size};
  const ContextScope scope(*context_);
  CUresult result = scope.result();
  if (result == CUDA_SUCCESS) {
    result = context_->driver().cuPointerGetAttributes(static_cast<unsigned>(attributes.size()), attributes.data(),
                                                       values.data(), AddressOf(memory));
  }
  absl::Status status = context_->driver().ToStatus(result, fmt::format("cannot examine the pointer {}", memory));
  if (!status.ok()) return status;
  // The type of an unknown pointer is 0.
  if (type != CU_MEMORYTYPE_DEVICE) return absl::InvalidArgumentError(fmt::format("{} is not device memory", memory));
  if (managed == 0 && ordinal != context_->ordinal()) {
    return absl::InvalidArgumentError(
        fmt::format("{} is memory of cuda:{}, not of {}", memory, ordinal, context_->name()));
  }
  const std::size_t left = size - (AddressOf(memory) - start);
  if (static_cast<std::size_t>(size_bytes) <= left) return start;
  return absl::InvalidArgumentError(
      fmt::format("{} bytes requested at {}, but its allocation ends after {}", size_bytes, memory, left));
}

absl::StatusOr<CUdeviceptr> Device::Allocate(std::int64_t size_bytes) const {
  const Driver& driver = context_->driver();
  const ContextScope scope(*context_);
  CUdeviceptr memory = 0;
  CUresult result = scope.result();
  if (result == CUDA_SUCCESS) result = driver.cuMemAlloc_v2(&memory, static_cast<std::size_t>(size_bytes));
  if (result == CUDA_SUCCESS) return memory;
  const absl::Status status =
      driver.ToStatus(result, fmt::format("cannot allocate {} bytes on {}", size_bytes, context_->name()));
  std::size_t free = 0;
  std::size_t total = 0;
  if (result != CUDA_ERROR_OUT_OF_MEMORY || scope.result() != CUDA_SUCCESS) return status;
  if (driver.cuMemGetInfo_v2(&free, &total) != CUDA_SUCCESS) return status;
  return absl::ResourceExhaustedError(
      fmt::format("{}: {} of {} bytes are free", std::string(status.message()), free, total));
}

void Device::Free(CUdeviceptr memory) const {
  const ContextScope scope(*context_);
  context_->driver().cuMemFree_v2(memory);
}

}  // namespace tensorferry::cuda
