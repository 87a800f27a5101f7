// SPDX-License-Identifier: Apache-2.0
#include "server/security/reloading_files.h"

#include <utility>

#include "lib/files/file_io.h"

namespace tensorferry::server {

std::optional<absl::StatusOr<ReloadingFiles::Contents>> ReloadingFiles::Poll() {
  const ReloadTiming::Clock::time_point now = timing_.now();
  if (next_ && now < *next_) return std::nullopt;
  next_ = now + timing_.interval;
  absl::StatusOr<Contents> contents = Read();
  std::vector<SecretDigest> digests;
  if (contents.ok()) {
    for (const std::string& content : *contents) digests.emplace_back(content);
  } else {
    // No contents equal this: there is one digest more than there are files.
    digests.assign(paths_.size() + 1, SecretDigest(std::string(contents.status().message())));
  }
  if (digests == seen_) return std::nullopt;
  seen_ = std::move(digests);
  return contents;
}

absl::StatusOr<ReloadingFiles::Contents> ReloadingFiles::Read() const {
  Contents contents;
  for (const std::string& path : paths_) {
    absl::StatusOr<std::string> content = ReadSmallFile(path, max_bytes_);
    if (!content.ok()) return content.status();
    contents.push_back(*std::move(content));
  }
  return contents;
}

}  // namespace tensorferry::server
