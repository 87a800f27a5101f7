// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_PULLING_PULL_DIRECTORY_H_
#define TENSORFERRY_CLIENT_CLI_PULLING_PULL_DIRECTORY_H_

#include <set>
#include <stop_token>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "client/cli/pulling/partial_file.h"
#include "lib/files/unique_fd.h"
#include "tensorferry/model_info.h"

namespace tensorferry::cli {

// Returns true if a server may give a file this name: a plain name that neither leaves the directory nor collides with
// the files of the pull itself.
bool IsPullableName(std::string_view name);

// The directory that a pull fills. Its subdirectory `.tensorferry` has the partial files, and the lock that keeps other
// pulls out while this object exists.
class PullDirectory {
 public:
  // Creates the directory if it does not exist, and locks it.
  // Errors: FAILED_PRECONDITION: the path is a file; ABORTED: another pull into the directory is running; those of the
  // operating system, with the path.
  static absl::StatusOr<PullDirectory> Open(const std::string& path);

  PullDirectory(PullDirectory&&) = default;

  // Opens the file. Returns no descriptor unless it is a regular file of the expected size.
  UniqueFd OpenCopy(const FileInfo& file) const;

  // Opens the partial file, whose bytes are compared with the manifest. The name must be pullable. Errors: those of
  // PartialFile::Open.
  absl::StatusOr<PartialFile> OpenPartial(const FileInfo& file, const PartialFile::GetManifest& get_manifest,
                                          const std::stop_token& stop_token) const;

  // Gives a complete partial file its final name. The file and its name are on disk when this returns.
  absl::Status Publish(const FileInfo& file, const PartialFile& partial) const;

  // Removes the partial file.
  void Discard(const FileInfo& file) const;

  // Removes partial files, except those of the files in `keep`.
  void RemoveLeftovers(const std::set<std::string>& keep) const;

 private:
  PullDirectory() = default;

  std::string path_;
  std::string state_path_;
  UniqueFd fd_;
  UniqueFd state_fd_;
  UniqueFd lock_fd_;
};

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_PULLING_PULL_DIRECTORY_H_
