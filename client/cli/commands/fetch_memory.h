// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_COMMANDS_FETCH_MEMORY_H_
#define TENSORFERRY_CLIENT_CLI_COMMANDS_FETCH_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/statusor.h"
#include "tensorferry/cuda.h"
#include "tensorferry/destination.h"

namespace tensorferry::cli {

// Memory of the host or of a device, which fetches fill again and again.
class FetchMemory {
 public:
  // Allocates memory of `device`, or of the host if there is none. The host's pages are present, so that a fetch does
  // not measure the kernel. Errors: RESOURCE_EXHAUSTED: there is not enough memory.
  static absl::StatusOr<FetchMemory> Allocate(std::int64_t size_bytes, const std::optional<CudaDevice>& device);

  // Returns a part as a destination, which must be inside. It must not outlive the memory.
  Destination Part(std::int64_t offset, std::int64_t size_bytes) const;

 private:
  std::unique_ptr<std::byte[]> host_;
  std::optional<CudaDevice> device_;
  std::optional<CudaMemory> device_memory_;
};

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_COMMANDS_FETCH_MEMORY_H_
