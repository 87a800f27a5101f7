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

// Memory of the host or of a GPU, as the destination of repeated fetches.
class FetchMemory {
 public:
  // Allocates memory of `device`, or of the host if there is none. Touches all pages of host memory, because otherwise
  // the first fetch would measure page faults. Errors: RESOURCE_EXHAUSTED: not enough memory.
  static absl::StatusOr<FetchMemory> Allocate(std::int64_t size_bytes, const std::optional<CudaDevice>& device);

  // Returns a part of the memory as a destination. The part must be inside the memory, and must not outlive it.
  Destination Part(std::int64_t offset, std::int64_t size_bytes) const;

 private:
  std::unique_ptr<std::byte[]> host_;
  std::optional<CudaDevice> device_;
  std::optional<CudaMemory> device_memory_;
};

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_COMMANDS_FETCH_MEMORY_H_
