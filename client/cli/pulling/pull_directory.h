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

// Whether a server may name a file so: a plain name, which neither leaves the directory nor meets the pull's own files.
bool IsPullableName(std::string_view name);

// The directory that a pull fills. In addition to the files it holds `.tensorferry`: partial files, and the lock that
// keeps a second pull out while this object lives.
class PullDirectory {
 public:
  // Creates the directory if need be.
  // Errors: ABORTED: another pull into it is running; otherwise those of the operating system, with the path.
  static absl::StatusOr<PullDirectory> Open(const std::string& path);

  PullDirectory(PullDirectory&&) = default;

  // Opens the file if it is here, is a regular file and has the expected size.
  UniqueFd OpenCopy(const FileInfo& file) const;

  // Opens what is here of the file, to be completed. Its name must be pullable.
  absl::StatusOr<PartialFile> OpenPartial(const FileInfo& file, const PartialFile::GetManifest& get_manifest,
                                          const std::stop_token& stop_token) const;

  // Gives the file, whose partial file is complete, its final name: on disk when it returns.
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
