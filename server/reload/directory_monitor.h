// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_RELOAD_DIRECTORY_MONITOR_H_
#define TENSORFERRY_SERVER_RELOAD_DIRECTORY_MONITOR_H_

#include <set>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/files/unique_fd.h"

namespace tensorferry::server {

// Tells that something in some directories may have changed (inotify). A hint only: network filesystems tell nothing of
// what other machines do. Not safe for concurrent use.
class DirectoryMonitor {
 public:
  // Errors: those of the operating system, of which there may be too many watches.
  static absl::StatusOr<DirectoryMonitor> Create();

  // Watches `directories` (paths) from now on and no others, and the entry at `root` itself. What cannot be watched
  // because it is gone or may not be read is passed over. Returns whether one was not watched before: what happened in
  // it until now was not seen.
  // Errors: RESOURCE_EXHAUSTED: the system permits no more watches; some directories are not watched then.
  absl::StatusOr<bool> Watch(const std::string& root, const std::set<std::string>& directories);

  // Readable when there is a hint.
  int fd() const { return fd_.get(); }
  // Takes all hints that wait. Returns whether there was one.
  bool Take();

 private:
  explicit DirectoryMonitor(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
  std::set<int> watches_;
  // The watch of the directory that the root is in, of which only the root's own name counts.
  int above_ = -1;
  std::string root_name_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_RELOAD_DIRECTORY_MONITOR_H_
