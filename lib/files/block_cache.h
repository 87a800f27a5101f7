// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_FILES_BLOCK_CACHE_H_
#define TENSORFERRY_LIB_FILES_BLOCK_CACHE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tensorferry {

// Checksums and residency of the blocks of a mapped file. A checksum is computed once, when its block is first read or
// the checksum is first requested, and then kept: if the block changes later, its receiver notices. MappedFile owns the
// cache. Safe for concurrent use by multiple threads.
class BlockCache {
 public:
  static constexpr std::int64_t kBlockBytes = std::int64_t{1} << 20;

  // Returns true if [offset, offset + size_bytes) is exactly one block.
  static bool IsBlock(std::int64_t offset, std::int64_t size_bytes) {
    return offset % kBlockBytes == 0 && size_bytes == kBlockBytes;
  }

  // `mapping` is the whole file `fd`; `path` is for messages. All of them must outlive the cache. Set `knows_residency`
  // if mincore reports the truth to this process.
  BlockCache(int fd, const std::string& path, std::span<const std::byte> mapping, bool knows_residency);

  // Returns the CRC-32C of block `index`, the bytes [index, index + 1) * kBlockBytes. The block must be inside the
  // file. Touches the mapping if the checksum is not known.
  std::uint32_t Checksum(std::int64_t index) const;
  // Returns true if the checksum of the block is known.
  bool HasChecksum(std::int64_t index) const;

  // Reads a block into `block`, which has kBlockBytes, without touching the mapping. Waits for the disk. Returns the
  // block's checksum. Errors: DATA_LOSS: the file shrank, or the disk failed.
  absl::StatusOr<std::uint32_t> Read(std::int64_t index, std::span<std::byte> block) const;

  // Returns true if the block can be sent from the mapping without waiting or computing: its checksum is known, its
  // pages were populated once, and they are in memory. Returns false if the system does not report the latter, which it
  // does only to the owner of the file and to those who may write it.
  bool IsReady(std::int64_t index) const;

  // Returns true if reading the byte at `offset`, which must be inside the file, would block on I/O; false if unknown.
  bool WouldBlock(std::int64_t offset) const;

  // Reads [offset, offset + size_bytes) into the page cache without touching the mapping. Waits for the disk. Reports
  // no errors: the next read of these bytes does.
  void ReadAhead(std::int64_t offset, std::int64_t size_bytes) const;

  // Maps the pages of [offset, offset + size_bytes), so that touching them does not wait. Waits for the disk. Errors:
  // DATA_LOSS: the file shrank, or the disk failed; UNIMPLEMENTED: the kernel is older than 5.14.
  absl::Status Populate(std::int64_t offset, std::int64_t size_bytes) const;

 private:
  // The state of a block: its checksum in the low 32 bits, and two flags above it.
  static constexpr std::uint64_t kHasChecksum = std::uint64_t{1} << 32;
  static constexpr std::uint64_t kPopulated = std::uint64_t{1} << 33;

  std::atomic<std::uint64_t>& State(std::int64_t index) const { return states_[static_cast<std::size_t>(index)]; }
  // Keeps the first of the checksums that several threads compute, and returns it.
  std::uint32_t Keep(std::int64_t index, std::uint32_t checksum) const;

  const int fd_;
  const std::string& path_;
  const std::span<const std::byte> mapping_;
  const bool knows_residency_;
  const std::unique_ptr<std::atomic<std::uint64_t>[]> states_;  // of the whole blocks
};

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_FILES_BLOCK_CACHE_H_
