// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CUDA_DRIVER_H_
#define TENSORFERRY_CLIENT_CUDA_DRIVER_H_

#include <cuda.h>

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// All that we use of the driver. cuda.h makes some of these names stand for the newer ones (cuMemAlloc_v2).
#define TENSORFERRY_CUDA_FUNCTIONS(X) \
  X(cuCtxGetCurrent)                  \
  X(cuCtxSetCurrent)                  \
  X(cuDeviceGet)                      \
  X(cuDeviceGetCount)                 \
  X(cuDeviceGetName)                  \
  X(cuDevicePrimaryCtxRelease)        \
  X(cuDevicePrimaryCtxRetain)         \
  X(cuEventCreate)                    \
  X(cuEventDestroy)                   \
  X(cuEventQuery)                     \
  X(cuEventRecord)                    \
  X(cuGetErrorName)                   \
  X(cuGetErrorString)                 \
  X(cuInit)                           \
  X(cuMemAlloc)                       \
  X(cuMemFree)                        \
  X(cuMemFreeHost)                    \
  X(cuMemGetInfo)                     \
  X(cuMemHostAlloc)                   \
  X(cuMemcpyDtoHAsync)                \
  X(cuMemcpyHtoDAsync)                \
  X(cuPointerGetAttributes)           \
  X(cuStreamCreate)                   \
  X(cuStreamDestroy)                  \
  X(cuStreamGetCtx)                   \
  X(cuStreamQuery)

namespace tensorferry::cuda {

// The functions of the driver, under their names in cuda.h.
struct Driver {
#define TENSORFERRY_CUDA_MEMBER(function) decltype(&::function) function = nullptr;
  TENSORFERRY_CUDA_FUNCTIONS(TENSORFERRY_CUDA_MEMBER)
#undef TENSORFERRY_CUDA_MEMBER

  // The status for `result`, for example `cannot pin memory: CUDA_ERROR_OUT_OF_MEMORY (out of memory)`. `action` is a
  // verb phrase. RESOURCE_EXHAUSTED: out of memory; else INTERNAL.
  absl::Status ToStatus(CUresult result, std::string_view action) const;
};

// The driver, loaded and initialized, which stays so until the process ends. Errors: FAILED_PRECONDITION: there is
// none, or it is too old; NOT_FOUND: it finds no device; INTERNAL: it does not start. Safe for concurrent use.
absl::StatusOr<const Driver*> LoadDriver();

}  // namespace tensorferry::cuda

#endif  // TENSORFERRY_CLIENT_CUDA_DRIVER_H_
