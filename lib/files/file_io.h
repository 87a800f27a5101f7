// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_FILES_FILE_IO_H_
#define TENSORFERRY_LIB_FILES_FILE_IO_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tensorferry {

// Returns the status for `error_number`, an errno: for example, `cannot open "a/b": No such file or directory`.
// `action` is a phrase such as "cannot open". The message quotes `path`.
absl::Status ErrnoStatus(int error_number, std::string_view action, std::string_view path);

// Reads exactly `destination.size()` bytes at `offset`. `path` is for messages.
// Errors: DATA_LOSS if the file ends earlier; otherwise those of the operating system.
absl::Status ReadExactly(int fd, std::int64_t offset, std::span<std::byte> destination, std::string_view path);

// Reads a whole regular file of at most `max_bytes`. Does not wait for the writer of a FIFO.
// Errors: INVALID_ARGUMENT if the file is larger or not a regular file; otherwise those of the operating system.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path, std::int64_t max_bytes);

// Writes all of `data` at `offset`. `path` is for messages. Errors: those of the operating system.
absl::Status WriteExactly(int fd, std::int64_t offset, std::span<const std::byte> data, std::string_view path);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_FILES_FILE_IO_H_
