// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CUDA_DEVICE_REGISTRY_H_
#define TENSORFERRY_CLIENT_CUDA_DEVICE_REGISTRY_H_

#include <memory>

#include "absl/status/statusor.h"
#include "client/cuda/device.h"
#include "tensorferry/cuda.h"

namespace tensorferry::cuda {

// Returns the process's object for a device, and creates it if none is open. The options must be valid. Errors: as
// CudaDevice::Open. Safe for concurrent use.
absl::StatusOr<std::shared_ptr<Device>> OpenDevice(int ordinal, const CudaOptions& options);

}  // namespace tensorferry::cuda

#endif  // TENSORFERRY_CLIENT_CUDA_DEVICE_REGISTRY_H_
