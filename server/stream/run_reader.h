// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_STREAM_RUN_READER_H_
#define TENSORFERRY_SERVER_STREAM_RUN_READER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "lib/files/mapped_file.h"
#include "server/stream/options.h"
#include "tensorferry/slice_plan.h"

namespace tensorferry::server {

// Reads the bytes of a slice with pread instead of touching the mapping. Short runs are read many at a time.
// Not safe for concurrent use.
class RunReader {
 public:
  // The tensor is `source_size_bytes` at `source_offset` of `file`.
  RunReader(std::shared_ptr<const MappedFile> file, std::int64_t source_offset, std::int64_t source_size_bytes,
            IoMode io);

  // Reads the next `destination.size()` bytes of the result, at most what remains of it. May wait for the disk.
  // Errors: DATA_LOSS if the file has shrunk; UNAVAILABLE with kPreadCached if some of it is not in the page cache,
  // which it then does not wait for; otherwise those of the operating system.
  absl::Status Read(SlicePlan::Cursor& cursor, std::span<std::byte> destination);

 private:
  // Runs of at least this size, and the last, are read by themselves; otherwise this much is read at once.
  static constexpr std::int64_t kWindowBytes = 128 << 10;

  // Reads exactly that.
  absl::Status ReadAt(std::int64_t source_offset, std::span<std::byte> destination) const;

  const std::shared_ptr<const MappedFile> file_;
  const std::int64_t source_offset_;
  const std::int64_t source_size_bytes_;
  const IoMode io_;
  std::vector<std::byte> window_;
  std::int64_t window_begin_ = 0;  // of what is in the window, in the tensor
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_STREAM_RUN_READER_H_
