// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/destination.h"

#include <cstring>

#include "client/streaming_copy.h"
#include "tensorferry/files/file_io.h"

namespace tensorferry {

namespace {

// What is smaller may be in a cache when it is read.
constexpr std::size_t kMinStreamedBytes = std::size_t{1} << 20;

}  // namespace

absl::Status HostDestination::Write(std::int64_t offset, std::span<const std::byte> data) {
  const std::span<std::byte> target = memory_.subspan(static_cast<std::size_t>(offset), data.size());
  if (memory_.size() >= kMinStreamedBytes) {
    StreamingCopy(data, target);
  } else {
    std::memcpy(target.data(), data.data(), data.size());
  }
  return absl::OkStatus();
}

absl::Status FileDestination::Write(std::int64_t offset, std::span<const std::byte> data) {
  return WriteExactly(fd_, file_offset_ + offset, data, path_);
}

}  // namespace tensorferry
