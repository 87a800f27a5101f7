// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_RELOAD_DIRECTORY_MONITOR_H_
#define TENSORFERRY_SERVER_RELOAD_DIRECTORY_MONITOR_H_

#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/files/unique_fd.h"

namespace tensorferry::server {

// Reports that some directories may have changed (inotify). A hint only: network filesystems do not report the changes
// of other machines. Not safe for concurrent use.
class DirectoryMonitor {
 public:
  // Errors: those of the operating system, which limits the number of instances.
  static absl::StatusOr<DirectoryMonitor> Create();

  // Watches exactly these directories (paths), and the entry at `root` itself. Skips directories that are gone or not
  // readable. Returns true if one was not watched before: earlier changes in it were missed.
  // Errors: RESOURCE_EXHAUSTED: the system permits no more watches; some directories are not watched.
  absl::StatusOr<bool> Watch(const std::string& root, const std::set<std::string>& directories);

  // Readable when there is a hint.
  int fd() const { return fd_.get(); }
  // Takes all pending hints. Returns true if there was one.
  bool Take();

 private:
  explicit DirectoryMonitor(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
  std::set<int> watches_;
  // The watch of the root's parent directory, in which only the root's own name matters.
  int above_ = -1;
  std::string root_name_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_RELOAD_DIRECTORY_MONITOR_H_
