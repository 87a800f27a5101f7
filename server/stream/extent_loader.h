// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_STREAM_EXTENT_LOADER_H_
#define TENSORFERRY_SERVER_STREAM_EXTENT_LOADER_H_

#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/files/mapped_file.h"
#include "server/stream/buffer_pool.h"
#include "server/stream/confirmation.h"
#include "server/stream/in_flight_bytes.h"
#include "server/stream/message_packer.h"
#include "server/stream/options.h"
#include "server/stream/stream_plan.h"
#include "tensorferry/slice_plan.h"

namespace tensorferry::server {

// A range of a file that may not be in memory.
struct FileRange {
  std::shared_ptr<const MappedFile> file;
  std::int64_t begin = 0;
  std::int64_t size_bytes = 0;
  // The message will refer to the mapping; otherwise it will read the range.
  bool to_mapping = false;
};

// Loads the data of packed messages. This is the only part of a stream that touches disks and mappings:
//
// | piece  | data, from the mapping                    | data, with pread | checksums alone                  |
// |--------|-------------------------------------------|------------------|----------------------------------|
// | block  | first read into a buffer, later a mapped  | (is not packed)  | the known checksum, or read      |
// |        | slice with the known checksum             |                  | into a buffer                    |
// | extent | populated, then a mapped slice            | (is not packed)  | read into a buffer               |
// | gather | copied from the mapping into a buffer     | read into a      | read into a buffer               |
// |        |                                           | buffer           |                                  |
//
// A load from the page cache alone reads everything into a buffer. Not safe for concurrent use.
class ExtentLoader {
 public:
  enum class Policy : char {
    kWaitForDisk,
    // Reads the page cache alone. Error: UNAVAILABLE: some bytes are not there.
    kPageCacheOnly,
  };

  struct Options {
    IoMode io = IoMode::kMmap;
    bool checksums_only = false;
    // Blocks have messages of their own.
    bool aligns_to_blocks = false;
  };

  // The buffers must have room for the data of a message. `in_flight` counts the data that gRPC holds.
  ExtentLoader(const Options& options, std::shared_ptr<BufferPool> buffers, std::shared_ptr<InFlightBytes> in_flight);

  // The data of a message.
  struct Data {
    std::vector<grpc::Slice> slices = {};
    std::int64_t size_bytes = 0;
    // The checksum of the data, if it is known.
    std::optional<std::uint32_t> crc = std::nullopt;
  };
  // Loads the data of a message. The slices refer to `window`, if there is one. A plan for checksums gives no slices,
  // but a checksum. Errors: DATA_LOSS: a file shrank, or its disk failed; those of the operating system.
  absl::StatusOr<Data> Load(const PackedMessage& message, Policy policy, std::shared_ptr<SentWindow> window);

  // Returns true if messages refer to mappings. A kernel that cannot populate mappings turns this off.
  bool uses_mappings() const { return io_ == IoMode::kMmap; }
  bool aligns_to_blocks() const { return options_.aligns_to_blocks; }

  // Returns true if the block can be loaded without waiting or computing.
  static bool IsReady(const Piece& block);
  // Returns true if reading the byte would block on I/O.
  static bool WouldBlock(const MappedFile& file, std::int64_t offset);
  // Returns true if the bytes are a block without a checksum: it is read, not referred to.
  bool IsNewBlock(const MappedFile& file, std::int64_t begin, std::int64_t size_bytes) const;
  // Brings a range into memory. Waits for the disk. Reports no errors: the load of these bytes does.
  static void BringIn(const FileRange& range);

 private:
  // Reads the short runs of a read with pread, many of them at a time.
  class RunReader {
   public:
    explicit RunReader(const PlannedRead& read) : read_(&read) {}
    const PlannedRead& read() const { return *read_; }
    // Reads the part of the read's result that begins at `result_offset`. Errors: as ReadAt.
    absl::Status Read(std::int64_t result_offset, std::span<std::byte> destination, Policy policy);

   private:
    // Runs of at least this size, and the last one, are read alone. For the others, this much is read at once.
    static constexpr std::int64_t kReadBytes = 128 << 10;

    absl::Status ReadAt(std::int64_t source_offset, std::span<std::byte> destination, Policy policy) const;

    const PlannedRead* read_;
    std::vector<std::byte> bytes_;  // of the source, read last
    std::int64_t begin_ = 0;        // of these, in the source
  };

  // Blocks are read into buffers while fewer buffers than this are in use; then they are referred to.
  static constexpr std::size_t kMaxBuffersForBlocks = 16;

  // The data of the message that is being loaded. Its bytes in the buffer are contiguous.
  struct Loading {
    Data data = {};
    Policy policy = Policy::kWaitForDisk;
    std::shared_ptr<SentWindow> window = nullptr;
    std::shared_ptr<std::byte[]> buffer = nullptr;
    std::size_t buffer_begin = 0;  // of the bytes in the buffer that are in no slice yet
    std::size_t buffer_end = 0;
  };

  absl::Status LoadBlock(const Piece& block, Loading& loading);
  absl::Status LoadExtent(const Piece& extent, Loading& loading);
  absl::Status LoadGather(const Piece& gather, Loading& loading);
  absl::Status ReadExtent(const Piece& extent, Loading& loading);
  // Returns room in the buffer for the next bytes.
  std::span<std::byte> TakeRoom(std::int64_t size_bytes, Loading& loading);
  // Turns the bytes in the buffer into a slice.
  void FlushBuffer(Loading& loading);
  // Adds a slice of bytes that `memory` owns.
  void AddSlice(std::span<const std::byte> bytes, std::shared_ptr<const void> memory, Loading& loading);

  const Options options_;
  IoMode io_;
  const std::shared_ptr<BufferPool> buffers_;
  const std::shared_ptr<InFlightBytes> in_flight_;
  std::optional<RunReader> runs_;  // of the last read that was gathered
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_STREAM_EXTENT_LOADER_H_
