// SPDX-License-Identifier: Apache-2.0
#include "client/cli/partial_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <span>
#include <string>
#include <utility>

#include "client/cli/file_at.h"
#include "client/cli/pull_state.h"
#include "tensorferry/files/file_io.h"
#include "tensorferry/quote.h"

namespace tensorferry::cli {
namespace {

// Names this boot of the machine; empty if the system does not tell.
std::string BootId() {
  std::string id;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), id);
  return id;
}

}  // namespace

PartialFile::PartialFile(UniqueFd fd, std::string path, std::int64_t resumed_at, std::int64_t total_bytes)
    : fd_(std::move(fd)),
      path_(std::move(path)),
      resumed_at_(resumed_at),
      present_bytes_(resumed_at),
      total_bytes_(total_bytes) {}

absl::StatusOr<PartialFile> PartialFile::Open(int directory_fd, const std::string& directory, const FileInfo& file) {
  const std::string data_name = DataName(file.name);
  const std::string path = directory + "/" + data_name;
  const PartialState wanted{file.fingerprint, file.size_bytes, BootId()};
  const auto state_text = ReadFileAt(directory_fd, StateName(file.name));
  const bool same =
      state_text && ParsePartialState(*state_text) == wanted && !wanted.boot_id.empty() && !wanted.fingerprint.empty();
  if (!same) {
    // In this order: a state must never stand beside the bytes of another.
    if (::unlinkat(directory_fd, data_name.c_str(), 0) != 0 && errno != ENOENT) {
      return ErrnoStatus(errno, "cannot remove", path);
    }
    const absl::Status written = ReplaceFileAt(directory_fd, directory, StateName(file.name), ToJson(wanted));
    if (!written.ok()) return written;
  }

  UniqueFd fd(::openat(directory_fd, data_name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666));
  if (!fd.ok()) return ErrnoStatus(errno, "cannot open", path);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return ErrnoStatus(errno, "cannot examine", path);
  if (!S_ISREG(status.st_mode)) {
    return absl::FailedPreconditionError(fmt::format("{} is not a regular file", Quote(path)));
  }
  std::int64_t present_bytes = status.st_size;
  if (present_bytes > file.size_bytes) {
    if (::ftruncate(fd.get(), 0) != 0) return ErrnoStatus(errno, "cannot truncate", path);
    present_bytes = 0;
  }
  return PartialFile(std::move(fd), path, present_bytes, file.size_bytes);
}

absl::Status PartialFile::Write(std::int64_t offset, std::span<const std::byte> data) {
  const std::int64_t position = resumed_at_ + offset;
  if (position > present_bytes_) {
    return absl::InternalError(
        fmt::format("byte {} of {} arrived before byte {}", position, Quote(path_), present_bytes_));
  }
  const absl::Status written = WriteExactly(fd_.get(), position, data, path_);
  if (!written.ok()) return written;
  present_bytes_ = std::max(present_bytes_, position + static_cast<std::int64_t>(data.size()));
  return absl::OkStatus();
}

absl::StatusOr<std::int64_t> PartialFile::SyncComplete() const {
  if (::fsync(fd_.get()) != 0) return ErrnoStatus(errno, "cannot sync", path_);
  struct stat status {};
  if (::fstat(fd_.get(), &status) != 0) return ErrnoStatus(errno, "cannot examine", path_);
  if (status.st_size != total_bytes_) {
    return absl::DataLossError(
        fmt::format("{} has {} bytes where {} were expected", Quote(path_), status.st_size, total_bytes_));
  }
  return std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

}  // namespace tensorferry::cli
