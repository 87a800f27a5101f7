// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_SECURITY_RELOADING_FILES_H_
#define TENSORFERRY_SERVER_SECURITY_RELOADING_FILES_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "server/security/secret_digest.h"

namespace tensorferry::server {

// When files are read again.
struct ReloadTiming {
  using Clock = std::chrono::steady_clock;

  // Time for which a change may remain unnoticed.
  Clock::duration interval = std::chrono::seconds(1);
  // For tests.
  std::function<Clock::time_point()> now = Clock::now;
};

// Small files that are polled together. Compares contents, not times. Thus it notices every change: a write in place, a
// rename, or a link that leads to another file, as in a volume of Kubernetes. Not safe for concurrent use.
class ReloadingFiles {
 public:
  using Contents = std::vector<std::string>;

  // Reads the files at most once per `timing.interval`. A file of more than `max_bytes` is an error.
  ReloadingFiles(std::vector<std::string> paths, std::int64_t max_bytes, ReloadTiming timing = {})
      : paths_(std::move(paths)), max_bytes_(max_bytes), timing_(std::move(timing)) {}

  // Returns the contents in the order of the paths, or the error of reading them. Returns nothing if the result is the
  // same as before, or if it is not time to read.
  std::optional<absl::StatusOr<Contents>> Poll();

 private:
  absl::StatusOr<Contents> Read() const;

  const std::vector<std::string> paths_;
  const std::int64_t max_bytes_;
  const ReloadTiming timing_;
  std::optional<ReloadTiming::Clock::time_point> next_;
  // Digests of the last result, because the files contain secrets.
  std::vector<SecretDigest> seen_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_SECURITY_RELOADING_FILES_H_
