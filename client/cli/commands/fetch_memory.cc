// SPDX-License-Identifier: Apache-2.0
#include "client/cli/commands/fetch_memory.h"

#include <fmt/format.h>

#include <cstring>
#include <fstream>
#include <limits>
#include <new>
#include <span>
#include <string>
#include <utility>

#include "client/cli/output/human.h"

namespace tensorferry::cli {
namespace {

std::int64_t AvailableMemoryBytes() {
  std::ifstream meminfo("/proc/meminfo");
  std::string key;
  std::int64_t kibibytes = 0;
  std::string unit;
  while (meminfo >> key >> kibibytes && std::getline(meminfo, unit)) {
    if (key == "MemAvailable:") return kibibytes * 1024;
  }
  return std::numeric_limits<std::int64_t>::max();
}

absl::StatusOr<std::unique_ptr<std::byte[]>> AllocateTouched(std::int64_t size_bytes) {
  // The kernel overcommits: it would kill the program when it touches the pages.
  const std::int64_t available = AvailableMemoryBytes();
  std::unique_ptr<std::byte[]> memory;
  if (size_bytes <= available) memory.reset(new (std::nothrow) std::byte[static_cast<std::size_t>(size_bytes)]);
  if (memory == nullptr) {
    return absl::ResourceExhaustedError(fmt::format("needs {} of memory, {} are available: give a TENSOR to fetch less",
                                                    HumanSize(size_bytes), HumanSize(available)));
  }
  std::memset(memory.get(), 0, static_cast<std::size_t>(size_bytes));
  return memory;
}

}  // namespace

absl::StatusOr<FetchMemory> FetchMemory::Allocate(std::int64_t size_bytes, const std::optional<CudaDevice>& device) {
  FetchMemory memory;
  memory.device_ = device;
  if (device) {
    auto allocated = device->Allocate(size_bytes);
    if (!allocated.ok()) return allocated.status();
    memory.device_memory_ = *std::move(allocated);
  } else {
    auto allocated = AllocateTouched(size_bytes);
    if (!allocated.ok()) return allocated.status();
    memory.host_ = *std::move(allocated);
  }
  return memory;
}

Destination FetchMemory::Part(std::int64_t offset, std::int64_t size_bytes) const {
  if (device_) return device_->Span(static_cast<std::byte*>(device_memory_->data()) + offset, size_bytes);
  return std::span(host_.get() + offset, static_cast<std::size_t>(size_bytes));
}

}  // namespace tensorferry::cli
