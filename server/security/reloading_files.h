// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_SECURITY_RELOADING_FILES_H_
#define TENSORFERRY_SERVER_SECURITY_RELOADING_FILES_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/security/secret_digest.h"

namespace tensorferry::server {

// Small files that are read again from time to time, and together. What is in them is compared, not their times: that
// sees every change, whether a file was written in place, renamed, or is behind a link that now leads elsewhere (as in
// a volume of Kubernetes). Not safe for concurrent use.
class ReloadingFiles {
 public:
  using Contents = std::vector<std::string>;

  // How long a change may go unseen.
  static constexpr std::chrono::milliseconds kInterval = std::chrono::seconds(1);

  // Looks at the files at most once per `interval`. No file may have more than `max_bytes`.
  ReloadingFiles(std::vector<std::string> paths, std::int64_t max_bytes, std::chrono::milliseconds interval = kInterval)
      : paths_(std::move(paths)), max_bytes_(max_bytes), interval_(interval) {}

  // The contents in the order of the paths, or why they cannot be read, if that is anything new; the first time it is.
  std::optional<absl::StatusOr<Contents>> Poll();

 private:
  absl::StatusOr<Contents> Read() const;

  const std::vector<std::string> paths_;
  const std::int64_t max_bytes_;
  const std::chrono::milliseconds interval_;
  std::optional<std::chrono::steady_clock::time_point> next_;
  // Digests, because the files hold secrets.
  std::vector<SecretDigest> seen_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_SECURITY_RELOADING_FILES_H_
