// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_CATALOG_ROOT_DIRECTORY_H_
#define TENSORFERRY_LIB_CATALOG_ROOT_DIRECTORY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/files/mapped_file.h"
#include "lib/files/unique_fd.h"

namespace tensorferry {

// The path of `name` in `directory`, both relative to a root, where "." is the root itself.
std::string JoinPath(std::string_view directory, std::string_view name);

// Opens what lies beneath one directory and nothing else: symbolic links that lead out of it are refused by the kernel
// (openat2 with RESOLVE_BENEATH). Safe for concurrent use by multiple threads.
class RootDirectory {
 public:
  // Errors: those of opening `path` as a directory.
  static absl::StatusOr<RootDirectory> Open(const std::string& path);

  // Opens and maps a regular file; `path` is relative to the root.
  absl::StatusOr<std::shared_ptr<const MappedFile>> MapFile(const std::string& path) const;

  // The directory, relative to the root, that holds a file which was found as an entry of `directory`, or nothing if it
  // is that one or cannot be told: a symbolic link may have led from there to elsewhere beneath the root.
  std::string LinkDirectory(const MappedFile& file, std::string_view directory) const;

  // Where a file is, as an absolute path with all links resolved; empty if the system does not tell.
  static std::string RealPath(const MappedFile& file);

  // The contents of a directory beneath the root, each list ordered by name; what is neither a file nor a directory, or
  // a link that leads to nothing beneath the root, is listed as a file, so that opening it gives the reason.
  struct Listing {
    std::vector<std::string> files;
    std::vector<std::string> directories;
    // Device and inode: tells whether a link led back to a directory above.
    std::pair<std::uint64_t, std::uint64_t> id;
    // The directory, open.
    UniqueFd fd;
  };
  absl::StatusOr<Listing> List(const std::string& path) const;

  // Returns what the file `name` of a directory, which was listed as `path`, is now, without opening its contents.
  // Errors: as MapFile.
  absl::StatusOr<FileIdentity> Identify(const Listing& listing, const std::string& path, const std::string& name) const;

 private:
  explicit RootDirectory(UniqueFd fd) : fd_(std::move(fd)) {}

  absl::StatusOr<UniqueFd> OpenBeneath(const std::string& path, std::uint64_t flags) const;

  UniqueFd fd_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CATALOG_ROOT_DIRECTORY_H_
