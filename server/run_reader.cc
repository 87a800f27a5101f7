// SPDX-License-Identifier: Apache-2.0
#include "server/run_reader.h"

#include <algorithm>
#include <utility>

#include "tensorferry/files/file_io.h"

namespace tensorferry::server {

RunReader::RunReader(std::shared_ptr<const MappedFile> file, std::int64_t source_offset, std::int64_t source_size_bytes)
    : file_(std::move(file)), source_offset_(source_offset), source_size_bytes_(source_size_bytes) {}

absl::Status RunReader::Read(SlicePlan::Cursor& cursor, std::span<std::byte> destination) {
  while (!destination.empty()) {
    const SlicePlan::Run run = cursor.Next(static_cast<std::int64_t>(destination.size()));
    const std::span<std::byte> target = destination.first(static_cast<std::size_t>(run.size_bytes));
    destination = destination.subspan(target.size());
    if (run.size_bytes >= kWindowBytes) {
      absl::Status status = ReadExactly(file_->fd(), source_offset_ + run.source_offset, target, file_->path());
      if (!status.ok()) return status;
      continue;
    }
    const std::int64_t window_end = window_begin_ + static_cast<std::int64_t>(window_.size());
    if (run.source_offset < window_begin_ || run.source_offset + run.size_bytes > window_end) {
      window_begin_ = run.source_offset;
      window_.resize(static_cast<std::size_t>(std::min(kWindowBytes, source_size_bytes_ - run.source_offset)));
      absl::Status status = ReadExactly(file_->fd(), source_offset_ + window_begin_, window_, file_->path());
      if (!status.ok()) return status;
    }
    std::ranges::copy(
        std::span(window_).subspan(static_cast<std::size_t>(run.source_offset - window_begin_), target.size()),
        target.begin());
  }
  return absl::OkStatus();
}

}  // namespace tensorferry::server
