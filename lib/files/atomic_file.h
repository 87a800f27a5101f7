// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_FILES_ATOMIC_FILE_H_
#define TENSORFERRY_LIB_FILES_ATOMIC_FILE_H_

#include <cstddef>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "lib/files/unique_fd.h"

namespace tensorferry {

// A file that appears under its name only when it is complete and on disk. Until Commit it is a hidden temporary file
// in the same directory, which the destructor removes. Not safe for concurrent use.
class AtomicFile {
 public:
  // Errors: those of the operating system, with the path; FAILED_PRECONDITION if `path` names something that exists and
  // is not a regular file.
  static absl::StatusOr<AtomicFile> Create(const std::string& path);

  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;
  ~AtomicFile();

  // For writing at any offset, as an alternative to Append.
  int fd() const { return fd_.get(); }

  // Appends `data`. Errors: those of the operating system (RESOURCE_EXHAUSTED: the disk is full), with the path.
  absl::Status Append(std::span<const std::byte> data);

  // Syncs the file, gives it its name, replacing what was there, and syncs the directory.
  absl::Status Commit();

 private:
  AtomicFile(std::string path, std::string temporary_path, UniqueFd fd);

  std::string path_;
  std::string temporary_path_;  // empty once committed or moved from
  UniqueFd fd_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_FILES_ATOMIC_FILE_H_
