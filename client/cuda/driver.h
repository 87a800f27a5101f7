// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CUDA_DRIVER_H_
#define TENSORFERRY_CLIENT_CUDA_DRIVER_H_

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cuda/driver_api.h"

namespace tensorferry::cuda {

// The functions of the driver, found in libcuda.so.1.
struct Driver {
#define TENSORFERRY_CUDA_MEMBER(name, ...) CUresult (*name)(__VA_ARGS__) = nullptr;
  TENSORFERRY_CUDA_FUNCTIONS(TENSORFERRY_CUDA_MEMBER)
#undef TENSORFERRY_CUDA_MEMBER

  // Returns the status for `result`, for example `cannot pin memory: CUDA_ERROR_OUT_OF_MEMORY (out of memory)`.
  // `action` is a verb phrase. RESOURCE_EXHAUSTED: out of memory; all others are INTERNAL.
  absl::Status ToStatus(CUresult result, std::string_view action) const;
};

// Loads and initializes the driver, and returns it. It stays loaded until the process ends. Safe for concurrent use.
// Errors: FAILED_PRECONDITION: there is no driver, or it is too old; NOT_FOUND: it finds no device; INTERNAL: it does
// not start.
absl::StatusOr<const Driver*> LoadDriver();

}  // namespace tensorferry::cuda

#endif  // TENSORFERRY_CLIENT_CUDA_DRIVER_H_
