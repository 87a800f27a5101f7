// SPDX-License-Identifier: Apache-2.0
#include "client/cuda/device_registry.h"

#include <fmt/format.h>

#include <map>

#include "absl/base/thread_annotations.h"
#include "lib/sync/mutex.h"

namespace tensorferry::cuda {
namespace {

struct Registry {
  Mutex mutex;
  // By ordinal. Expired if the device was closed.
  std::map<int, std::weak_ptr<Device>> devices ABSL_GUARDED_BY(mutex);
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
  const MutexLock lock(&registry.mutex);
  if (const auto found = registry.devices.find(ordinal); found != registry.devices.end()) {
    if (std::shared_ptr<Device> device = found->second.lock()) {
      if (device->options() == options) return device;
      return absl::InvalidArgumentError(
          fmt::format("{} is already open with {} staging buffers of {} bytes: it cannot be opened with {} of {} bytes",
                      device->context().name(), device->options().staging_buffers,
                      device->options().staging_buffer_bytes, options.staging_buffers, options.staging_buffer_bytes));
    }
  }
  absl::StatusOr<std::shared_ptr<Device>> device = Device::Create(ordinal, options);
  if (device.ok()) registry.devices[ordinal] = *device;
  return device;
}

}  // namespace tensorferry::cuda
