// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_FILES_ATOMIC_FILE_H_
#define TENSORFERRY_LIB_FILES_ATOMIC_FILE_H_

#include <cstddef>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "lib/files/unique_fd.h"

namespace tensorferry {

// A file that appears under its name only when it is complete and on disk. Until Commit, it is a hidden temporary file
// in the same directory, and the destructor removes it. Not safe for concurrent use.
class AtomicFile {
 public:
  // Creates the temporary file. If `path` is a symbolic link, Commit replaces its target.
  // Errors: FAILED_PRECONDITION: `path` exists and is not a regular file. INVALID_ARGUMENT: `path` is not the name of a
  // file. Otherwise those of the operating system, with the path.
  static absl::StatusOr<AtomicFile> Create(const std::string& path);

  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;
  ~AtomicFile();

  // The descriptor, owned by this object, for writes at any offset instead of Append.
  int fd() const { return fd_.get(); }

  // Appends `data`. Errors: those of the operating system, with the path. A full disk is RESOURCE_EXHAUSTED.
  absl::Status Append(std::span<const std::byte> data);

  // Syncs the file, renames it to its name, which replaces an existing file, and syncs the directory. Call it once.
  // Errors: those of the operating system, with the path.
  absl::Status Commit();

 private:
  AtomicFile(std::string path, std::string temporary_path, UniqueFd fd);

  std::string path_;
  std::string temporary_path_;  // empty once committed or moved from
  UniqueFd fd_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_FILES_ATOMIC_FILE_H_
