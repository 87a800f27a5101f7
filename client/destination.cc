// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/destination.h"

#include <cstring>

#include "client/streaming_copy.h"
#include "tensorferry/files/file_io.h"

namespace tensorferry {

namespace {

// What a fetch of less brings may be in a cache when it is read.
constexpr std::int64_t kMinStreamedFetchBytes = std::int64_t{1} << 20;
// Less is not worth it.
constexpr std::size_t kMinStreamedBytes = 2048;

}  // namespace

absl::Status Destination::Begin(const FetchLimits&) { return absl::OkStatus(); }

absl::Status Destination::WriteAll(std::int64_t offset, std::span<const std::span<const std::byte>> pieces) {
  for (const std::span<const std::byte> piece : pieces) {
    if (absl::Status status = Write(offset, piece); !status.ok()) return status;
    offset += static_cast<std::int64_t>(piece.size());
  }
  return absl::OkStatus();
}

void Destination::Abandon(absl::Time) {}

absl::Status HostDestination::Begin(const FetchLimits& limits) {
  bytes_total_ = limits.bytes_total;
  return absl::OkStatus();
}

absl::Status HostDestination::Write(std::int64_t offset, std::span<const std::byte> data) {
  const std::span<std::byte> target = memory_.subspan(static_cast<std::size_t>(offset), data.size());
  if (bytes_total_ >= kMinStreamedFetchBytes && data.size() >= kMinStreamedBytes) {
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
