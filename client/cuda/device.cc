// SPDX-License-Identifier: Apache-2.0
#include "client/cuda/device.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "absl/time/clock.h"

namespace tensorferry::cuda {
namespace {

// How long a device may take for what is under way when it is closed.
constexpr absl::Duration kMaxDrainTime = absl::Seconds(5);

CUdeviceptr AddressOf(const void* memory) { return reinterpret_cast<CUdeviceptr>(memory); }

}  // namespace

absl::StatusOr<std::shared_ptr<Device>> Device::Open(int ordinal, const CudaOptions& options) {
  absl::StatusOr<std::unique_ptr<PrimaryContext>> context = PrimaryContext::Retain(ordinal);
  if (!context.ok()) return context.status();
  std::shared_ptr<Device> device(new Device(*std::move(context)));
  if (absl::Status status = device->MakeStream(); !status.ok()) return status;
  absl::StatusOr<std::unique_ptr<StagingRing>> ring = StagingRing::Create(device->context(), options);
  if (!ring.ok()) return ring.status();
  device->ring_ = *std::move(ring);
  return device;
}

absl::Status Device::MakeStream() {
  const ContextScope scope(*context_);
  CUresult result = scope.result();
  // Non-blocking: the legacy default stream of whoever else uses the context has nothing to do with it.
  if (result == CUDA_SUCCESS) result = context_->driver().cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING);
  if (result != CUDA_SUCCESS) stream_ = nullptr;
  return context_->driver().ToStatus(result, fmt::format("cannot make a stream on {}", context_->name()));
}

Device::~Device() {
  if (ring_ != nullptr && !ring_->Drain(absl::Now() + kMaxDrainTime)) {
    // The device still reads from the slots, if it ever does anything again: memory lost is better than wrong bytes.
    static_cast<void>(ring_.release());
    static_cast<void>(context_.release());
    return;
  }
  ring_.reset();
  if (stream_ == nullptr) return;
  const ContextScope scope(*context_);
  context_->driver().cuStreamDestroy(stream_);
}

absl::StatusOr<CUstream> Device::StreamFor(std::optional<CudaStream> stream) const {
  if (!stream) return stream_;
  const auto handle = static_cast<CUstream>(stream->handle);
  // What this one means depends on the thread, and copies are issued by several.
  if (handle == CU_STREAM_PER_THREAD) {
    return absl::InvalidArgumentError("the per-thread default stream cannot be used: give a stream of its own");
  }
  // The legacy default stream is that of whichever context is current.
  if (handle == nullptr || handle == CU_STREAM_LEGACY) return handle;
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
  if (size_bytes < 0) return absl::InvalidArgumentError(fmt::format("a size of {} bytes", size_bytes));
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
  // Of a pointer that the driver does not know, the type is 0.
  if (type != CU_MEMORYTYPE_DEVICE) return absl::InvalidArgumentError(fmt::format("{} is not device memory", memory));
  if (managed == 0 && ordinal != context_->ordinal()) {
    return absl::InvalidArgumentError(
        fmt::format("{} is memory of cuda:{}, not of {}", memory, ordinal, context_->name()));
  }
  const std::size_t left = size - (AddressOf(memory) - start);
  if (static_cast<std::size_t>(size_bytes) <= left) return start;
  return absl::InvalidArgumentError(
      fmt::format("the allocation of {} has {} bytes from there on, not {}", memory, left, size_bytes));
}

absl::StatusOr<CUdeviceptr> Device::Allocate(std::int64_t size_bytes) const {
  const Driver& driver = context_->driver();
  const ContextScope scope(*context_);
  CUdeviceptr memory = 0;
  CUresult result = scope.result();
  if (result == CUDA_SUCCESS) result = driver.cuMemAlloc(&memory, static_cast<std::size_t>(size_bytes));
  if (result == CUDA_SUCCESS) return memory;
  const absl::Status status =
      driver.ToStatus(result, fmt::format("cannot allocate {} bytes on {}", size_bytes, context_->name()));
  std::size_t free = 0;
  std::size_t total = 0;
  if (result != CUDA_ERROR_OUT_OF_MEMORY || scope.result() != CUDA_SUCCESS) return status;
  if (driver.cuMemGetInfo(&free, &total) != CUDA_SUCCESS) return status;
  return absl::ResourceExhaustedError(
      fmt::format("{}: {} of {} bytes are free", std::string(status.message()), free, total));
}

void Device::Free(CUdeviceptr memory) const {
  const ContextScope scope(*context_);
  context_->driver().cuMemFree(memory);
}

}  // namespace tensorferry::cuda

namespace tensorferry {

absl::StatusOr<CudaDevice> CudaDevice::Open(int ordinal, const CudaOptions& options) {
  if (options.slot_bytes < 4 << 10 || options.slot_bytes > 1 << 30) {
    return absl::InvalidArgumentError(
        fmt::format("slot_bytes is {}, it must be from {} to {}", options.slot_bytes, 4 << 10, 1 << 30));
  }
  if (options.slot_count < 2 || options.slot_count > 64) {
    return absl::InvalidArgumentError(fmt::format("slot_count is {}, it must be from 2 to 64", options.slot_count));
  }
  absl::StatusOr<std::shared_ptr<cuda::Device>> device = cuda::Device::Open(ordinal, options);
  if (!device.ok()) return device.status();
  return CudaDevice(*std::move(device));
}

int CudaDevice::ordinal() const { return device_->context().ordinal(); }

const std::string& CudaDevice::model_name() const { return device_->context().model_name(); }

absl::StatusOr<CudaMemory> CudaDevice::Allocate(std::int64_t size_bytes) const {
  if (size_bytes < 0) return absl::InvalidArgumentError(fmt::format("a size of {} bytes", size_bytes));
  if (size_bytes == 0) return CudaMemory(nullptr, 0);
  const absl::StatusOr<CUdeviceptr> memory = device_->Allocate(size_bytes);
  if (!memory.ok()) return memory.status();
  const auto free = [device = device_](void* freed) { device->Free(cuda::AddressOf(freed)); };
  return CudaMemory(std::shared_ptr<void>(reinterpret_cast<void*>(*memory), free), size_bytes);
}

absl::Status CudaDevice::CopyToHost(const void* from, std::span<std::byte> to, const FetchLimits& limits) const {
  const auto allocation = device_->FindAllocation(from, static_cast<std::int64_t>(to.size()));
  if (!allocation.ok()) return allocation.status();
  const absl::StatusOr<CUstream> stream = device_->StreamFor(std::nullopt);
  if (!stream.ok()) return stream.status();
  return device_->ring().Read(cuda::AddressOf(from), to, *stream, limits);
}

}  // namespace tensorferry
