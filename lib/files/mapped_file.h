// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_FILES_MAPPED_FILE_H_
#define TENSORFERRY_LIB_FILES_MAPPED_FILE_H_

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "lib/files/unique_fd.h"

namespace tensorferry {

class BlockCache;

namespace mapping_table {
struct Entry;
}

// Tells whether a file is still the one that was opened, with the contents it had.
struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::int64_t size_bytes = 0;
  std::int64_t modified_ns = 0;
  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

// A regular file, mapped read-only for as long as the object lives. A pointer into the mapping needs a reference to the
// object. Immutable; safe for concurrent use by multiple threads.
//
// The mapping shows the current contents of the file: publish new contents by rename, not in place. Touching pages
// after a new, smaller end of the file raises SIGBUS (sigbus.h).
class MappedFile {
 public:
  // The bytes of all files that are mapped now, by this process.
  static std::int64_t MappedBytes();

  // Opens and maps the regular file at `path`. Errors: those of the operating system, with the path;
  // FAILED_PRECONDITION if it is not a regular file.
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Open(const std::string& path);

  // Maps the file of `fd`, and owns `fd` from then on. `path` is for messages. `known` is the result of a stat of the
  // path, or null. With it, Map takes no stat of its own; if the file is not that one any more, CheckUnchanged fails.
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Map(UniqueFd fd, std::string path,
                                                               const struct stat* known = nullptr);

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }
  std::int64_t size_bytes() const { return static_cast<std::int64_t>(bytes_.size()); }
  // The path it was opened by.
  const std::string& path() const { return path_; }
  // For pread; owned by this object.
  int fd() const { return fd_.get(); }
  // The file as it was when it was mapped.
  const FileIdentity& identity() const { return identity_; }
  // Identifies this object: no other one, of this process or of any other, ever has the same.
  const std::string& instance() const { return instance_; }

  // ABORTED if the file is no longer what it was when it was mapped: truncated, grown or written to, or if pages of it
  // could not be read.
  absl::Status CheckUnchanged() const;

  // Returns true if pages of the mapping could not be read, so that there are zeros now (sigbus.h). The file itself
  // may be sound, and can be mapped again.
  bool damaged() const;

  // Checksums and residency of the file's blocks.
  const BlockCache& blocks() const { return *blocks_; }

 private:
  MappedFile(UniqueFd fd, std::string path, FileIdentity identity, std::span<const std::byte> bytes,
             bool knows_residency);

  UniqueFd fd_;
  std::string path_;
  FileIdentity identity_;
  std::span<const std::byte> bytes_;
  const std::string instance_;
  mapping_table::Entry* const mapping_;  // null if there are no bytes
  const std::unique_ptr<const BlockCache> blocks_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_FILES_MAPPED_FILE_H_
