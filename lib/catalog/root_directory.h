// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_CATALOG_ROOT_DIRECTORY_H_
#define TENSORFERRY_LIB_CATALOG_ROOT_DIRECTORY_H_

#include <dirent.h>
#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/files/mapped_file.h"
#include "lib/files/unique_fd.h"

namespace tensorferry {

// Returns the path of `name` in `directory`. Both are relative to a root; "." is the root itself.
std::string JoinPath(std::string_view directory, std::string_view name);

// Opens only what is beneath one directory: the kernel refuses symbolic links that lead out of it (openat2 with
// RESOLVE_BENEATH). Safe for concurrent use by multiple threads.
class RootDirectory {
 public:
  // Errors: those of opening `path` as a directory.
  static absl::StatusOr<RootDirectory> Open(const std::string& path);

  // Opens and maps a regular file; `path` is relative to the root. `known`: as for MappedFile::Map.
  absl::StatusOr<std::shared_ptr<const MappedFile>> MapFile(const std::string& path,
                                                            const struct stat* known = nullptr) const;

  // Returns the directory, relative to the root, of a file that was found as an entry of `directory`; empty if it is
  // `directory` itself, or unknown. Another one if a symbolic link led there.
  std::string LinkDirectory(const MappedFile& file, std::string_view directory) const;

  // Returns the absolute path of a file with all links resolved; empty if unknown.
  static std::string RealPath(const MappedFile& file);

  // The contents of a directory beneath the root, each list ordered by name, without dot names. An entry that is
  // neither a file nor a directory, or a link that leads to nothing beneath the root, is listed as a file: opening it
  // gives the reason.
  struct Listing {
    std::vector<std::string> files;
    std::vector<std::string> directories;
    // Of `files`, those that the directory itself does not say the type of: symbolic links, and all files on file
    // systems that do not give types. List takes a stat of each to find out if it is a directory.
    std::map<std::string, struct stat, std::less<>> untyped;
    // Device and inode: a link may lead back to a directory above.
    std::pair<std::uint64_t, std::uint64_t> id;
    // The directory, open.
    UniqueFd fd;
  };
  absl::StatusOr<Listing> List(const std::string& path) const;

  // Returns what the file `name` of a directory, which was listed as `path`, is now, without opening its contents.
  // Takes one stat; none if the listing has it. Errors: as MapFile.
  absl::StatusOr<struct stat> Stat(const Listing& listing, const std::string& path, const std::string& name) const;

 private:
  explicit RootDirectory(UniqueFd fd) : fd_(std::move(fd)) {}

  absl::StatusOr<UniqueFd> OpenBeneath(const std::string& path, std::uint64_t flags) const;
  // Follows links. Errors: as MapFile.
  absl::StatusOr<struct stat> StatBeneath(const std::string& path) const;
  void AddEntry(const std::string& path, const dirent& entry, Listing& listing) const;

  UniqueFd fd_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CATALOG_ROOT_DIRECTORY_H_
