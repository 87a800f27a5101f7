// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_SECURITY_TOKEN_FILE_H_
#define TENSORFERRY_SERVER_SECURITY_TOKEN_FILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/sync/mutex.h"
#include "server/metrics/metrics.h"
#include "server/security/reloading_files.h"
#include "server/security/token_table.h"

namespace tensorferry::server {

// The tokens of a file, which is reloaded when it changes. Safe for concurrent use by multiple threads.
class TokenFile {
 public:
  // `metrics` must outlive the file.
  // Errors: those of reading the file and of TokenTable::Parse, with its path.
  static absl::StatusOr<std::unique_ptr<TokenFile>> Open(const std::string& path, Metrics& metrics,
                                                         ReloadTiming timing = {});

  // Returns the tokens to accept now. If the file has become unreadable or malformed, logs the error and returns the
  // previous tokens: a typing error locks nobody out. To revoke the last token, leave a comment line in the file.
  std::shared_ptr<const TokenTable> Current();

 private:
  static constexpr std::int64_t kMaxBytes = 4 << 20;

  TokenFile(const std::string& path, Metrics& metrics, ReloadTiming timing)
      : path_(path), metrics_(metrics), file_({path}, kMaxBytes, std::move(timing)) {}

  // Loads the file if it has changed.
  absl::Status Update() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string path_;
  Metrics& metrics_;
  Mutex mutex_;
  ReloadingFiles file_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<const TokenTable> table_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_SECURITY_TOKEN_FILE_H_
