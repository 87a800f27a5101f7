// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLI_FILE_AT_H_
#define TENSORFERRY_CLI_FILE_AT_H_

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace tensorferry::cli {

// The contents of the regular file `name` in the directory, not following a symbolic link; nothing if that is not what
// is there, it cannot be read, or it is larger than 256 MiB.
std::optional<std::string> ReadFileAt(int directory_fd, const std::string& name);

// Puts a file with `contents` under `name`, replacing what was there in one step, and syncs it and the directory.
// `directory` is the path for messages. Uses the name `name`.tmp.
absl::Status ReplaceFileAt(int directory_fd, const std::string& directory, const std::string& name,
                           std::string_view contents);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLI_FILE_AT_H_
