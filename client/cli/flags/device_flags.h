// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_FLAGS_DEVICE_FLAGS_H_
#define TENSORFERRY_CLIENT_CLI_FLAGS_DEVICE_FLAGS_H_

#include <CLI/App.hpp>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "tensorferry/cuda.h"

namespace tensorferry::cli {

// The flags of a command that can fetch into a GPU's memory.
struct DeviceFlags {
  // Absent: host memory.
  std::optional<int> cuda_ordinal;
  CudaOptions options;

  // Opens the device; returns nothing for host memory. Errors: those of CudaDevice::Open.
  absl::StatusOr<std::optional<CudaDevice>> Open() const;
};

// Adds the flags to `command`, which must not outlive `flags`. `purpose` is the help of --device.
void AddDeviceFlags(CLI::App& command, const std::string& purpose, DeviceFlags& flags);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_FLAGS_DEVICE_FLAGS_H_
