// SPDX-License-Identifier: Apache-2.0
#include "client/cli/pulling/partial_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "lib/checksum/crc32c.h"
#include "lib/files/file_io.h"
#include "lib/text/quote.h"

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

absl::StatusOr<PartialFile> PartialFile::Open(int directory_fd, const std::string& directory, const FileInfo& file,
                                              const GetManifest& get_manifest, const std::stop_token& stop_token) {
  const std::string data_name = DataName(file.name);
  std::string path = directory + "/" + data_name;
  UniqueFd fd(::openat(directory_fd, data_name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666));
  if (!fd.ok()) return ErrnoStatus(errno, "cannot open", path);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return ErrnoStatus(errno, "cannot examine", path);
  if (!S_ISREG(status.st_mode)) {
    return absl::FailedPreconditionError(fmt::format("{} is not a regular file", Quote(path)));
  }
  PartialFile partial(std::move(fd), std::move(path), file.size_bytes);
  if (status.st_size == 0) return partial;
  absl::StatusOr<FileManifest> manifest = get_manifest();
  if (!manifest.ok()) return manifest.status();
  const absl::StatusOr<std::int64_t> agreeing = AgreeingBytes(partial.fd_.get(), partial.path_, *manifest, stop_token);
  if (!agreeing.ok()) return agreeing.status();
  if (::ftruncate(partial.fd_.get(), *agreeing) != 0) return ErrnoStatus(errno, "cannot truncate", partial.path_);
  partial.resumed_at_ = partial.present_bytes_ = *agreeing;
  if (*agreeing > 0) partial.manifest_ = *std::move(manifest);
  return partial;
}

absl::Status PartialFile::Write(std::int64_t offset, std::span<const std::byte> data) {
  const std::int64_t position = resumed_at_ + offset;
  if (position > present_bytes_) {
    return absl::InternalError(
        fmt::format("byte {} of {} arrived before byte {}", position, Quote(path_), present_bytes_));
  }
  const auto repeated = static_cast<std::size_t>(present_bytes_ - position);
  if (repeated >= data.size()) return absl::OkStatus();
  data = data.subspan(repeated);
  if (absl::Status status = Compare(data); !status.ok()) return status;
  if (absl::Status status = WriteExactly(fd_.get(), present_bytes_, data, path_); !status.ok()) return status;
  present_bytes_ += static_cast<std::int64_t>(data.size());
  return absl::OkStatus();
}

absl::Status PartialFile::Compare(std::span<const std::byte> data) {
  if (!manifest_) return absl::OkStatus();
  for (std::int64_t position = present_bytes_; !data.empty();) {
    const std::int64_t index = position / FileManifest::kBlockBytes;
    const std::int64_t block_end = std::min((index + 1) * FileManifest::kBlockBytes, total_bytes_);
    const std::span<const std::byte> piece =
        data.first(std::min(data.size(), static_cast<std::size_t>(block_end - position)));
    data = data.subspan(piece.size());
    position += static_cast<std::int64_t>(piece.size());
    block_crc_ = Crc32c(piece, block_crc_);
    if (position < block_end) continue;
    if (std::exchange(block_crc_, 0) != manifest_->block_crc32c[static_cast<std::size_t>(index)]) {
      return absl::AbortedError(
          fmt::format("the block at byte {} differs from the server's manifest", index * FileManifest::kBlockBytes));
    }
  }
  return absl::OkStatus();
}

absl::Status PartialFile::SyncComplete() const {
  if (::fsync(fd_.get()) != 0) return ErrnoStatus(errno, "cannot sync", path_);
  struct stat status {};
  if (::fstat(fd_.get(), &status) != 0) return ErrnoStatus(errno, "cannot examine", path_);
  if (status.st_size == total_bytes_) return absl::OkStatus();
  return absl::DataLossError(
      fmt::format("{} is {} bytes long, expected {}", Quote(path_), status.st_size, total_bytes_));
}

}  // namespace tensorferry::cli
