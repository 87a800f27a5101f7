// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/files/file_io.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "tensorferry/quote.h"

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
      return absl::DataLossError(fmt::format("cannot read {}: it ends at byte {}, {} bytes short of what was there",
                                             Quote(path), offset, destination.size()));
    }
    destination = destination.subspan(static_cast<std::size_t>(size));
    offset += size;
  }
  return absl::OkStatus();
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
