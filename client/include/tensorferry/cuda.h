// SPDX-License-Identifier: Apache-2.0
//
// Fetches directly into the memory of NVIDIA GPUs. Needs no CUDA toolkit: the driver (libcuda.so.1) is loaded when the
// first device is opened. Link tensorferry::cuda.
#ifndef TENSORFERRY_CUDA_H_
#define TENSORFERRY_CUDA_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "tensorferry/destination.h"

namespace tensorferry {

namespace cuda {
class Device;
}  // namespace cuda

// The staging buffers of a device: pinned host memory that bytes pass through on their way to it. They are allocated
// once, when the device is opened. Most clients should leave this alone.
struct CudaOptions {
  // The size of each buffer, from 4 KiB to 1 GiB. A buffer is sent when it is full or when a fetch ends.
  std::int64_t staging_buffer_bytes = 4 << 20;
  // The number of buffers, from 2 to 64. One is filled while the others are being copied.
  int staging_buffers = 4;

  friend bool operator==(const CudaOptions&, const CudaOptions&) = default;
};

// A stream of the caller: a CUstream or cudaStream_t of the device's primary context, which the CUDA runtime and
// PyTorch use. Null is the legacy default stream.
struct CudaStream {
  void* handle = nullptr;
};

// Device memory from CudaDevice::Allocate. The last copy of this object frees it. It may outlive the CudaDevice.
class CudaMemory {
 public:
  // Takes ownership of the memory, with the deleter that frees it.
  CudaMemory(std::shared_ptr<void> memory, std::int64_t size_bytes)
      : memory_(std::move(memory)), size_bytes_(size_bytes) {}

  // A device pointer; null if the size is 0.
  void* data() const { return memory_.get(); }
  std::int64_t size_bytes() const { return size_bytes_; }

 private:
  std::shared_ptr<void> memory_;
  std::int64_t size_bytes_;
};

// A GPU, with its primary context and the staging buffers that all fetches into it share. Copies of this object refer
// to the same device. It is closed with the last copy and the last object that a copy returned. Safe for concurrent use
// by multiple threads. The context that is current to the calling thread stays current. Errors of all functions, in
// addition to those listed: INTERNAL: the driver failed; the message contains the driver's text.
class CudaDevice {
 public:
  // Opens the device with number `ordinal`. A process has one device object per number: while it is open, every call
  // returns the same one, with the same staging buffers. Errors: INVALID_ARGUMENT: an option is out of range, or the
  // device is open with other options; FAILED_PRECONDITION: there is no driver, or it is too old; NOT_FOUND: there is
  // no such device; RESOURCE_EXHAUSTED: out of memory.
  static absl::StatusOr<CudaDevice> Open(int ordinal, const CudaOptions& options = {});

  int ordinal() const;
  // Returns the driver's name for the device, for example "NVIDIA H200".
  const std::string& model_name() const;

  // Allocates device memory. Errors: INVALID_ARGUMENT: the size is negative; RESOURCE_EXHAUSTED: the device does not
  // have enough free memory.
  absl::StatusOr<CudaMemory> Allocate(std::int64_t size_bytes) const;

  // Returns a destination in device memory that the caller owns, at any alignment: from cudaMalloc, the driver API,
  // PyTorch or Allocate. A fetch sends only bytes whose checksum matched, and returns OK when the last copy is
  // complete. After a failed fetch no copy is pending, unless the device was stuck for more than a second; a later
  // fetch into the same memory waits for such copies.
  //
  // The copies run on `stream`, in order with the caller's work there. Without it they run on an internal stream, which
  // waits for no other work. Memory and stream must outlive the fetch. Every fetch validates both, and returns
  // INVALID_ARGUMENT if [memory, memory + size_bytes) is not in one allocation on this device, or if the stream does
  // not belong to its primary context.
  Destination Span(void* memory, std::int64_t size_bytes, std::optional<CudaStream> stream = std::nullopt) const;

 private:
  explicit CudaDevice(std::shared_ptr<cuda::Device> device) : device_(std::move(device)) {}

  std::shared_ptr<cuda::Device> device_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CUDA_H_
