// SPDX-License-Identifier: Apache-2.0
#include "client/cli/pulling/local_copy.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <span>
#include <vector>

#include "lib/checksum/crc32c.h"
#include "lib/files/file_io.h"

namespace tensorferry::cli {

absl::StatusOr<std::int64_t> AgreeingBytes(int fd, const std::string& path, const FileManifest& manifest,
                                           const std::stop_token& stop_token) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return ErrnoStatus(errno, "cannot examine", path);
  const std::int64_t present = std::min<std::int64_t>(status.st_size, manifest.size_bytes);
  std::vector<std::byte> buffer(static_cast<std::size_t>(std::min(FileManifest::kBlockBytes, present)));
  std::int64_t agreeing = 0;
  for (const std::uint32_t crc : manifest.block_crc32c) {
    if (stop_token.stop_requested()) return absl::CancelledError("interrupted");
    const std::int64_t size = std::min(FileManifest::kBlockBytes, manifest.size_bytes - agreeing);
    if (present - agreeing < size) break;
    const std::span<std::byte> block = std::span(buffer).first(static_cast<std::size_t>(size));
    if (absl::Status read = ReadExactly(fd, agreeing, block, path); !read.ok()) return read;
    if (Crc32c(block, 0) != crc) break;
    agreeing += size;
  }
  return agreeing;
}

}  // namespace tensorferry::cli
