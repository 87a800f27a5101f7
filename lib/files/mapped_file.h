// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_FILES_MAPPED_FILE_H_
#define TENSORFERRY_LIB_FILES_MAPPED_FILE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "lib/files/unique_fd.h"

namespace tensorferry {

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

// A regular file mapped read-only for as long as the object lives; whoever hands out a pointer into it hands out a
// reference with it. Immutable; safe for concurrent use by multiple threads.
//
// The mapping shows whatever the file holds now: publish new contents by rename, not in place. Touching pages behind a
// new, smaller end of the file raises SIGBUS (sigbus.h).
class MappedFile {
 public:
  // The bytes of all files that are mapped now, by this process.
  static std::int64_t MappedBytes();

  // Opens and maps the regular file at `path`. Errors: those of the operating system, with the path;
  // FAILED_PRECONDITION if it is not a regular file.
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Open(const std::string& path);

  // Maps the file behind `fd`, which it then owns. `path` is for messages.
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Map(UniqueFd fd, std::string path);

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

  static constexpr std::int64_t kBlockBytes = std::int64_t{1} << 20;
  // Returns true if [offset, offset + size) is a block, no more and no less.
  static bool IsBlock(std::int64_t offset, std::int64_t size_bytes) {
    return offset % kBlockBytes == 0 && size_bytes == kBlockBytes;
  }

  // The CRC-32C of block `index`: bytes [index, index + 1) * kBlockBytes, which must lie inside the file. Taken when it
  // is first asked for, or the block is first read, and kept: if the block's pages change afterwards, the checksum does
  // not, so that whoever receives them with it notices.
  std::uint32_t BlockChecksum(std::int64_t index) const;
  // Returns true if it was taken.
  bool HasBlockChecksum(std::int64_t index) const;

  // Reads block `index` into `block` (kBlockBytes), waiting for the disk, without touching the mapping; returns its
  // checksum as above. Errors: DATA_LOSS if the file has shrunk, or the disk failed.
  absl::StatusOr<std::uint32_t> ReadBlock(std::int64_t index, std::span<std::byte> block) const;

  // Returns true if block `index` can be sent without any wait or work: its checksum was taken, its pages were
  // populated once, and they are in memory. The system says so only to those who own the file or may write it: false
  // for others.
  bool BlockIsReady(std::int64_t index) const;

  // Returns true if reading the byte at `offset`, which must be inside the file, would wait for I/O; false if unknown.
  bool MustWaitFor(std::int64_t offset) const;

  // Brings [offset, offset + size) into the page cache, waiting for the disk, without touching the mapping. Whatever
  // goes wrong, who reads the bytes will hear of it.
  void ReadAhead(std::int64_t offset, std::int64_t size_bytes) const;

  // Brings the pages of [offset, offset + size) into the mapping, waiting for the disk, so that touching them does not.
  // Errors: DATA_LOSS if the file has shrunk so that some are gone, or the disk failed; UNIMPLEMENTED on kernels before
  // 5.14.
  absl::Status Populate(std::int64_t offset, std::int64_t size_bytes) const;

 private:
  MappedFile(UniqueFd fd, std::string path, FileIdentity identity, std::span<const std::byte> bytes,
             bool knows_residency);

  // The state of a block: its checksum and, above it, a bit that says that it was taken, and one that says that the
  // block's pages were in the mapping.
  static constexpr std::uint64_t kTaken = std::uint64_t{1} << 32;
  static constexpr std::uint64_t kPopulated = std::uint64_t{1} << 33;

  // Of two threads that take a checksum at once, the first one's counts.
  std::uint32_t KeepChecksum(std::int64_t index, std::uint32_t checksum) const;

  UniqueFd fd_;
  std::string path_;
  FileIdentity identity_;
  std::span<const std::byte> bytes_;
  const std::string instance_;
  const bool knows_residency_;                                  // mincore tells the truth
  mapping_table::Entry* const mapping_;                         // null if there are no bytes
  const std::unique_ptr<std::atomic<std::uint64_t>[]> blocks_;  // those that are whole
};

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_FILES_MAPPED_FILE_H_
