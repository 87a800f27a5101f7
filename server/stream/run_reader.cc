// SPDX-License-Identifier: Apache-2.0
#include "server/stream/run_reader.h"

#include <sys/uio.h>

#include <algorithm>
#include <utility>

#include "lib/files/file_io.h"

namespace tensorferry::server {

RunReader::RunReader(std::shared_ptr<const MappedFile> file, std::int64_t source_offset, std::int64_t source_size_bytes,
                     IoMode io)
    : file_(std::move(file)), source_offset_(source_offset), source_size_bytes_(source_size_bytes), io_(io) {}

absl::Status RunReader::ReadAt(std::int64_t source_offset, std::span<std::byte> destination) const {
  const std::int64_t offset = source_offset_ + source_offset;
  if (io_ != IoMode::kPreadCached) return ReadExactly(file_->fd(), offset, destination, file_->path());
  const iovec buffer = {.iov_base = destination.data(), .iov_len = destination.size()};
  const ssize_t size = ::preadv2(file_->fd(), &buffer, 1, offset, RWF_NOWAIT);
  if (size == static_cast<ssize_t>(destination.size())) return absl::OkStatus();
  return absl::UnavailableError("not all of it is in the page cache");
}

absl::Status RunReader::Read(SlicePlan::Cursor& cursor, std::span<std::byte> destination) {
  while (!destination.empty()) {
    const SlicePlan::Run run = cursor.Next(static_cast<std::int64_t>(destination.size()));
    const std::span<std::byte> target = destination.first(static_cast<std::size_t>(run.size_bytes));
    destination = destination.subspan(target.size());
    if (run.size_bytes >= kWindowBytes || cursor.remaining_bytes() == 0) {
      absl::Status status = ReadAt(run.source_offset, target);
      if (!status.ok()) return status;
      continue;
    }
    const std::int64_t window_end = window_begin_ + static_cast<std::int64_t>(window_.size());
    if (run.source_offset < window_begin_ || run.source_offset + run.size_bytes > window_end) {
      window_begin_ = run.source_offset;
      window_.resize(static_cast<std::size_t>(std::min(kWindowBytes, source_size_bytes_ - run.source_offset)));
      absl::Status status = ReadAt(window_begin_, window_);
      if (!status.ok()) return status;
    }
    std::ranges::copy(
        std::span(window_).subspan(static_cast<std::size_t>(run.source_offset - window_begin_), target.size()),
        target.begin());
  }
  return absl::OkStatus();
}

}  // namespace tensorferry::server
