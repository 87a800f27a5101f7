// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLI_PULL_DIRECTORY_H_
#define TENSORFERRY_CLI_PULL_DIRECTORY_H_

#include <set>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "client/cli/partial_file.h"
#include "client/cli/pull_state.h"
#include "tensorferry/files/unique_fd.h"
#include "tensorferry/model_info.h"

namespace tensorferry::cli {

// Whether a server may name a file so: a plain name, which neither leaves the directory nor meets the pull's own files.
bool IsPullableName(std::string_view name);

// The directory that a pull fills. Beside the files it holds `.tensorferry`: partial files, the record of what was
// pulled (`pulled.json`) and the lock that keeps a second pull out while this object lives.
class PullDirectory {
 public:
  // Creates the directory if need be.
  // Errors: ABORTED: another pull into it is running; otherwise those of the operating system, with the path.
  static absl::StatusOr<PullDirectory> Open(const std::string& path);

  PullDirectory(PullDirectory&&) = default;

  // Whether the file is here, as an earlier pull left it, and the server's is still that one.
  bool IsUpToDate(const FileInfo& file) const;

  // What is here of the file, to be completed. Its name must be pullable.
  absl::StatusOr<PartialFile> OpenPartial(const FileInfo& file) const;

  // Gives the file, whose partial file is complete, its final name, and records it: on disk when it returns.
  absl::Status Publish(const FileInfo& file, const PartialFile& partial);

  // Throws away what is here of the file.
  void Discard(const FileInfo& file) const;

  // Removes partial files but those of files in `keep`.
  void RemoveLeftovers(const std::set<std::string>& keep) const;

 private:
  PullDirectory() = default;

  std::string path_;
  std::string state_path_;
  UniqueFd fd_;
  UniqueFd state_fd_;
  UniqueFd lock_fd_;
  PulledFiles pulled_;
};

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLI_PULL_DIRECTORY_H_
