// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/destination.h"

#include <cstring>

#include "tensorferry/files/file_io.h"

namespace tensorferry {

absl::Status Destination::Begin(const FetchLimits&) { return absl::OkStatus(); }

absl::Status Destination::WriteAll(std::int64_t offset, std::span<const std::span<const std::byte>> pieces) {
  for (const std::span<const std::byte> piece : pieces) {
    if (absl::Status status = Write(offset, piece); !status.ok()) return status;
    offset += static_cast<std::int64_t>(piece.size());
  }
  return absl::OkStatus();
}

void Destination::Abandon(absl::Time) {}

absl::Status HostDestination::Write(std::int64_t offset, std::span<const std::byte> data) {
  std::memcpy(memory_.subspan(static_cast<std::size_t>(offset), data.size()).data(), data.data(), data.size());
  return absl::OkStatus();
}

absl::Status FileDestination::Write(std::int64_t offset, std::span<const std::byte> data) {
  return WriteExactly(fd_, file_offset_ + offset, data, path_);
}

}  // namespace tensorferry
