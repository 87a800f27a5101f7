// SPDX-License-Identifier: Apache-2.0
#include "lib/files/file_io.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "lib/files/unique_fd.h"
#include "lib/text/quote.h"

namespace tensorferry {

absl::Status ErrnoStatus(int error_number, std::string_view action, std::string_view path) {
  const std::string message =
      fmt::format("{} {}: {}", action, Quote(path), std::generic_category().message(error_number));
  return absl::Status(absl::ErrnoToStatusCode(error_number), message);
}

absl::Status ReadExactly(int fd, std::int64_t offset, std::span<std::byte> destination, std::string_view path) {
  while (!destination.empty()) {
    const ssize_t size = ::pread(fd, destination.data(), destination.size(), offset);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return ErrnoStatus(errno, "cannot read", path);
    if (size == 0) {
      return absl::DataLossError(
          fmt::format("cannot read {}: file ends at byte {}, {} bytes too early: it was truncated", Quote(path), offset,
                      destination.size()));
    }
    destination = destination.subspan(static_cast<std::size_t>(size));
    offset += size;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadSmallFile(const std::string& path, std::int64_t max_bytes) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.ok()) return ErrnoStatus(errno, "cannot open", path);
  struct stat info = {};
  if (::fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, "cannot stat", path);
  if (!S_ISREG(info.st_mode)) {
    return absl::InvalidArgumentError(fmt::format("cannot read {}: not a regular file", Quote(path)));
  }
  // Reads to the end, not to the size: the file may be growing.
  std::string content;
  while (static_cast<std::int64_t>(content.size()) <= max_bytes) {
    char buffer[4096];
    const ssize_t size = ::read(fd.get(), buffer, sizeof(buffer));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return ErrnoStatus(errno, "cannot read", path);
    if (size == 0) return content;
    content.append(buffer, static_cast<std::size_t>(size));
  }
  return absl::InvalidArgumentError(
      fmt::format("cannot read {}: file is longer than the limit of {} bytes", Quote(path), max_bytes));
}

absl::Status WriteExactly(int fd, std::int64_t offset, std::span<const std::byte> data, std::string_view path) {
  while (!data.empty()) {
    const ssize_t size = ::pwrite(fd, data.data(), data.size(), offset);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return ErrnoStatus(errno, "cannot write", path);
    data = data.subspan(static_cast<std::size_t>(size));
    offset += size;
  }
  return absl::OkStatus();
}

}  // namespace tensorferry
