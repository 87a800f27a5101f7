// SPDX-License-Identifier: Apache-2.0
#include "client/cli/file_at.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tensorferry/files/file_io.h"
#include "tensorferry/files/unique_fd.h"

namespace tensorferry::cli {
namespace {

absl::Status WriteAndSync(int fd, std::string_view contents, const std::string& path) {
  const absl::Status written = WriteExactly(fd, 0, std::as_bytes(std::span(contents)), path);
  if (!written.ok()) return written;
  return ::fsync(fd) == 0 ? absl::OkStatus() : ErrnoStatus(errno, "cannot sync", path);
}

}  // namespace

std::optional<std::string> ReadFileAt(int directory_fd, const std::string& name) {
  constexpr std::int64_t kMaxBytes = std::int64_t{256} << 20;
  const UniqueFd fd(::openat(directory_fd, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat status {};
  if (!fd.ok() || ::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_size > kMaxBytes) {
    return std::nullopt;
  }
  std::string contents(static_cast<std::size_t>(status.st_size), '\0');
  if (!ReadExactly(fd.get(), 0, std::as_writable_bytes(std::span(contents)), name).ok()) return std::nullopt;
  return contents;
}

absl::Status ReplaceFileAt(int directory_fd, const std::string& directory, const std::string& name,
                           std::string_view contents) {
  const std::string path = directory + "/" + name;
  const std::string temporary = name + ".tmp";
  // Whatever is there is ours and stale: the caller holds the lock.
  ::unlinkat(directory_fd, temporary.c_str(), 0);
  const UniqueFd fd(
      ::openat(directory_fd, temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (!fd.ok()) return ErrnoStatus(errno, "cannot create", path);
  absl::Status status = WriteAndSync(fd.get(), contents, path);
  if (status.ok() && ::renameat(directory_fd, temporary.c_str(), directory_fd, name.c_str()) != 0) {
    status = ErrnoStatus(errno, "cannot replace", path);
  }
  if (!status.ok()) {
    ::unlinkat(directory_fd, temporary.c_str(), 0);
    return status;
  }
  return ::fsync(directory_fd) == 0 ? absl::OkStatus() : ErrnoStatus(errno, "cannot sync", directory);
}

}  // namespace tensorferry::cli
