// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLI_FETCH_MEMORY_H_
#define TENSORFERRY_CLI_FETCH_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "tensorferry/cuda.h"
#include "tensorferry/destination.h"

namespace tensorferry::cli {

// Memory that fetches fill again and again: the host's, or a device's.
class FetchMemory {
 public:
  // The host's pages are there already, so that a fetch does not measure the kernel. Without a `device`: the host's.
  // Errors: RESOURCE_EXHAUSTED: there is not that much.
  static absl::StatusOr<FetchMemory> Allocate(std::int64_t size_bytes, const std::optional<CudaDevice>& device);

  // A part of it, which must lie inside. Must not outlive the memory.
  absl::StatusOr<std::unique_ptr<Destination>> Part(std::int64_t offset, std::int64_t size_bytes) const;

 private:
  std::unique_ptr<std::byte[]> host_;
  std::optional<CudaDevice> device_;
  std::optional<CudaMemory> device_memory_;
};

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLI_FETCH_MEMORY_H_
