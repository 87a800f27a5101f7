// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_PULLING_LOCAL_COPY_H_
#define TENSORFERRY_CLIENT_CLI_PULLING_LOCAL_COPY_H_

#include <cstdint>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include "tensorferry/model_info.h"

namespace tensorferry::cli {

// Reads the file and compares its blocks with the manifest. Returns how many bytes from its beginning agree: whole
// blocks, or all of the manifest's file. `path` is for messages.
// Errors: CANCELLED: a stop was requested; those of reading the file.
absl::StatusOr<std::int64_t> AgreeingBytes(int fd, const std::string& path, const FileManifest& manifest,
                                           const std::stop_token& stop_token);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_PULLING_LOCAL_COPY_H_
