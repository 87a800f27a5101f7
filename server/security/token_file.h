// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_SECURITY_TOKEN_FILE_H_
#define TENSORFERRY_SERVER_SECURITY_TOKEN_FILE_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "server/metrics/metrics.h"
#include "server/security/reloading_files.h"
#include "server/security/token_table.h"

namespace tensorferry::server {

// The tokens of a file, which may be replaced at any time. Safe for concurrent use by multiple threads.
class TokenFile {
 public:
  // `metrics` must outlive the file.
  // Errors: the file cannot be read, or is no token file (TokenTable::Parse), with its path.
  static absl::StatusOr<std::unique_ptr<TokenFile>> Open(
      const std::string& path, Metrics& metrics, std::chrono::milliseconds interval = ReloadingFiles::kInterval);

  // The tokens to accept now. Where the file has become unreadable or malformed, that is logged, and those before it
  // stay: a slip of the pen locks nobody out. To take the last token back, leave a line of comment.
  std::shared_ptr<const TokenTable> Current();

 private:
  static constexpr std::int64_t kMaxBytes = 4 << 20;

  TokenFile(const std::string& path, Metrics& metrics, std::chrono::milliseconds interval)
      : path_(path), metrics_(metrics), file_({path}, kMaxBytes, interval) {}

  // Takes over what has changed, if anything has.
  absl::Status Update();

  const std::string path_;
  Metrics& metrics_;
  std::mutex mutex_;  // guards what follows
  ReloadingFiles file_;
  std::shared_ptr<const TokenTable> table_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_SECURITY_TOKEN_FILE_H_
