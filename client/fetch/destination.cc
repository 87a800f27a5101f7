// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/destination.h"

#include "lib/files/file_io.h"

namespace tensorferry {

absl::Status Sink::Begin(const FetchLimits&) { return absl::OkStatus(); }

absl::Status Sink::WriteAll(std::int64_t offset, std::span<const std::span<const std::byte>> pieces) {
  for (const std::span<const std::byte> piece : pieces) {
    if (absl::Status status = Write(offset, piece); !status.ok()) return status;
    offset += static_cast<std::int64_t>(piece.size());
  }
  return absl::OkStatus();
}

void Sink::Abandon(absl::Time) {}

absl::Status FileSink::Write(std::int64_t offset, std::span<const std::byte> data) {
  return WriteExactly(fd_, file_offset_ + offset, data, path_);
}

Destination Destination::Opened(std::int64_t size_bytes, OpenSink open) {
  Destination destination;
  destination.size_bytes_ = size_bytes;
  destination.open_ = std::make_shared<const OpenSink>(std::move(open));
  return destination;
}

Destination Destination::Deferred(Choose choose) {
  Destination destination;
  destination.choose_ = std::make_shared<const Choose>(std::move(choose));
  return destination;
}

std::int64_t Destination::size_bytes() const {
  if (is_memory_) return static_cast<std::int64_t>(memory_.size());
  return sink_ != nullptr ? sink_->size_bytes() : size_bytes_;
}

}  // namespace tensorferry
