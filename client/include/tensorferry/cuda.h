// SPDX-License-Identifier: Apache-2.0
//
// Fetching straight into the memory of NVIDIA GPUs. Needs no CUDA toolkit: the driver (libcuda.so.1) is loaded when it
// is first asked for. Link tensorferry::cuda.
#ifndef TENSORFERRY_CUDA_H_
#define TENSORFERRY_CUDA_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tensorferry/destination.h"

namespace tensorferry {

namespace cuda {
class Device;
class Target;
}  // namespace cuda

// The ring of pinned host memory that everything passes on its way to a device: slot_bytes times slot_count, taken
// once.
struct CudaOptions {
  // From 4 KiB to 1 GiB. A slot is sent when it is full or when the fetch ends.
  std::int64_t slot_bytes = 4 << 20;
  // From 2 to 64: one is filled while the others are on their way.
  int slot_count = 4;
};

// A stream of the caller's: a CUstream or cudaStream_t of the device's primary context, which is that of the CUDA
// runtime and of PyTorch. Null is the legacy default stream.
struct CudaStream {
  void* handle = nullptr;
};

// Device memory of our own allocation, which is freed with this object and may outlive the CudaDevice.
class CudaMemory {
 public:
  // Takes the memory over with what frees it.
  CudaMemory(std::shared_ptr<void> memory, std::int64_t size_bytes)
      : memory_(std::move(memory)), size_bytes_(size_bytes) {}

  // A device pointer; null if the size is 0.
  void* data() const { return memory_.get(); }
  std::int64_t size_bytes() const { return size_bytes_; }

 private:
  std::shared_ptr<void> memory_;
  std::int64_t size_bytes_;
};

// One GPU: its primary context and one ring of pinned slots, which all fetches into this device share. Copies of this
// object are the same device. Safe for concurrent use by multiple threads; the context that is current to the calling
// thread stays so. Errors of all that follows, beside those listed: INTERNAL: the driver failed, with what it said.
class CudaDevice {
 public:
  // Opens the device with that number and pins the ring. To be done once for each device of a process: every call pins
  // a ring of its own. Errors: INVALID_ARGUMENT: an option out of range; UNIMPLEMENTED: the library was built without
  // cuda.h; FAILED_PRECONDITION: there is no driver, or it is too old; NOT_FOUND: there is no such device;
  // RESOURCE_EXHAUSTED: out of memory.
  static absl::StatusOr<CudaDevice> Open(int ordinal, const CudaOptions& options = {});

  int ordinal() const;
  // What the driver calls it, for example "NVIDIA H200".
  const std::string& model_name() const;

  // Errors: RESOURCE_EXHAUSTED: the device has not that much memory left.
  absl::StatusOr<CudaMemory> Allocate(std::int64_t size_bytes) const;

  // Copies from device memory, after what a fetch or the caller has completed there. Errors: INVALID_ARGUMENT: not
  // device memory of that size; DEADLINE_EXCEEDED, CANCELLED: as `limits` say.
  absl::Status CopyToHost(const void* from, std::span<std::byte> to, const FetchLimits& limits = {}) const;

 private:
  friend class CudaDestination;
  explicit CudaDevice(std::shared_ptr<cuda::Device> device) : device_(std::move(device)) {}

  std::shared_ptr<cuda::Device> device_;
};

// Device memory that the caller owns, at any alignment: from cudaMalloc, the driver API, PyTorch or
// CudaDevice::Allocate. Must not be moved during a fetch. When a fetch has succeeded, every byte is in device memory.
// When one has failed, nothing is on its way there any more, unless the device was stuck for a second longer; what is
// later fetched into the same memory waits for that.
class CudaDestination final : public Destination {
 public:
  // The copies run on `stream`, in order with the caller's work there, else on one of ours, which waits for nobody's
  // work. Neither memory nor stream is owned: they must outlive the fetch. Errors: INVALID_ARGUMENT: [memory, memory +
  // size_bytes) is not in one allocation on this device, or the stream is not one of its primary context.
  static absl::StatusOr<CudaDestination> Create(const CudaDevice& device, void* memory, std::int64_t size_bytes,
                                                std::optional<CudaStream> stream = std::nullopt);

  CudaDestination(CudaDestination&&) noexcept;
  CudaDestination& operator=(CudaDestination&&) noexcept;
  ~CudaDestination() override;

  std::int64_t size_bytes() const override;
  absl::Status Begin(const FetchLimits& limits) override;
  absl::Status Write(std::int64_t offset, std::span<const std::byte> data) override;
  absl::Status WriteAll(std::int64_t offset, std::span<const std::span<const std::byte>> pieces) override;
  absl::Status Finish() override;
  void Abandon(absl::Time until) override;

 private:
  explicit CudaDestination(std::unique_ptr<cuda::Target> target);

  std::unique_ptr<cuda::Target> target_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CUDA_H_
