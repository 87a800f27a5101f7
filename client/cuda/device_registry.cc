// SPDX-License-Identifier: Apache-2.0
#include "client/cuda/device_registry.h"

#include <fmt/format.h>

#include <map>
#include <mutex>

namespace tensorferry::cuda {
namespace {

struct Registry {
  std::mutex mutex;  // guards all below
  // By ordinal. Devices that were closed are null.
  std::map<int, std::weak_ptr<Device>> devices;
};

Registry& TheRegistry() {
  // Never destroyed: other static objects may open devices until the process ends.
  static auto* const registry = new Registry;
  return *registry;
}

}  // namespace

absl::StatusOr<std::shared_ptr<Device>> OpenDevice(int ordinal, const CudaOptions& options) {
  Registry& registry = TheRegistry();
  // Held while a device is created, so that concurrent calls get the same one.
  const std::lock_guard lock(registry.mutex);
  if (const auto found = registry.devices.find(ordinal); found != registry.devices.end()) {
    if (std::shared_ptr<Device> device = found->second.lock()) {
      if (device->options() == options) return device;
      return absl::InvalidArgumentError(
          fmt::format("{} is open with {} staging buffers of {} bytes: it cannot be opened with {} of {} bytes",
                      device->context().name(), device->options().staging_buffers,
                      device->options().staging_buffer_bytes, options.staging_buffers, options.staging_buffer_bytes));
    }
  }
  absl::StatusOr<std::shared_ptr<Device>> device = Device::Create(ordinal, options);
  if (device.ok()) registry.devices[ordinal] = *device;
  return device;
}

}  // namespace tensorferry::cuda
