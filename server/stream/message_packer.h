// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_STREAM_MESSAGE_PACKER_H_
#define TENSORFERRY_SERVER_STREAM_MESSAGE_PACKER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "lib/files/mapped_file.h"
#include "server/stream/stream_plan.h"
#include "tensorferry/slice_plan.h"

namespace tensorferry::server {

// A part of a message's data.
struct Piece {
  enum class Kind : char {
    // The bytes [begin, end) of the read's file. They may include bytes of the reads that follow.
    kExtent,
    // The bytes [begin, end) of the read's result: short runs.
    kGather,
  };
  Kind kind = Kind::kExtent;
  // The read, in the packer's plan.
  const PlannedRead* read = nullptr;
  std::int64_t begin = 0;
  std::int64_t end = 0;

  std::int64_t size_bytes() const { return end - begin; }
};

// A run of a message's data, as the contract describes it.
struct PackedSegment {
  std::size_t read_index = 0;
  std::int64_t result_offset = 0;
  std::int64_t size_bytes = 0;
  friend bool operator==(const PackedSegment&, const PackedSegment&) = default;
};

// The contents of a message.
struct PackedMessage {
  bool is_first = false;
  bool is_last = false;
  // The message announces the results of the reads [results_begin, results_end).
  std::size_t results_begin = 0;
  std::size_t results_end = 0;
  std::vector<PackedSegment> segments;
  // The data, in order. Their sizes add up to `size_bytes`, as those of the segments do.
  std::vector<Piece> pieces;
  std::int64_t size_bytes = 0;
  // The data is one extent: exactly one block of a file whose block checksums are used.
  bool is_block = false;
};

// Divides a plan into messages. Depends on the plan alone: neither reads files nor asks what is in memory. Walks the
// reads in the order of their files, so that disks are read forwards. Long runs, and reads that follow each other in a
// file, become extents. Short runs are gathered, because many small slices cost gRPC more than a copy. Not safe for
// concurrent use.
class MessagePacker {
 public:
  // Shorter extents are gathered.
  static constexpr std::int64_t kMinExtentBytes = 8 << 10;
  // Limits of one message.
  static constexpr std::size_t kMaxSegments = 32 << 10;
  static constexpr std::size_t kMaxResultsBytes = 512 << 10;

  struct Options {
    // Data in one message.
    std::int64_t chunk_bytes = 0;
    // Pack extents; otherwise everything is gathered. Plans for checksums always have extents, so that they have the
    // same messages everywhere.
    bool extents = true;
  };

  MessagePacker(StreamPlan plan, const Options& options);
  // Messages point into the plan.
  MessagePacker(const MessagePacker&) = delete;
  MessagePacker& operator=(const MessagePacker&) = delete;

  const StreamPlan& plan() const { return plan_; }
  std::int64_t chunk_bytes() const { return chunk_bytes_; }
  // Returns true if blocks are packed into messages of their own where possible, so that their checksums can be used.
  bool aligns_to_blocks() const;

  bool started() const { return started_; }
  // Returns true if all messages were packed. There is at least one message, even without data.
  bool done() const { return started_ && results_packed_ == plan_.reads.size() && order_position_ == order_.size(); }

  // Returns the next message, or an equal one for an equal plan. Must not be called when done. Pieces are valid as long
  // as the packer.
  PackedMessage Pack();

  // Drops what only the announcement of results needs. Call it when the last of them was encoded: files of the model
  // that the plan does not read may then be closed.
  void ReleaseModel() { plan_.model.reset(); }

  // A contiguous range of a file that begins with the next message.
  struct Ahead {
    std::shared_ptr<const MappedFile> file;
    std::int64_t begin = 0;
    // The end of the next message, if all of its data is in the range.
    std::int64_t next_end = 0;
    // The end of the range.
    std::int64_t end = 0;
  };
  // Returns the data that comes next, or nothing if there is none.
  std::optional<Ahead> Peek() const;
  // Returns the block that the next message consists of, as an extent; nothing if the message is no block. A message of
  // kMaxSegments may end earlier.
  std::optional<Piece> PeekBlock() const;

 private:
  const PlannedRead& current() const { return plan_.reads[order_[order_position_]]; }
  void FindStretches();
  // Moves the cursor to the next read in order.
  void EnterRead();
  void PackResults(PackedMessage& message);
  void PackData(PackedMessage& message);
  void PackPieces(std::int64_t size_bytes, PackedMessage& message);
  // Returns the position of the cursor in its file.
  std::int64_t FilePosition() const { return current().source_offset + cursor_->source_position(); }
  // Returns the number of contiguous bytes of the file that the plan sends from the cursor on.
  std::int64_t StretchBytes() const;
  // Returns how much of the current read may follow `message` so that this message or the next ones are whole blocks.
  std::int64_t BytesToBlockEnd(const PackedMessage& message) const;

  StreamPlan plan_;
  const std::int64_t chunk_bytes_;
  const bool has_extents_;
  bool started_ = false;
  std::size_t results_packed_ = 0;
  // The indices of the reads that have data, in the order of their files.
  std::vector<std::size_t> order_;
  // For each of them, the end of the contiguous bytes of the file that begin with its first byte. They may include the
  // reads that follow, if the read is one run.
  std::vector<std::int64_t> stretch_ends_;
  std::size_t order_position_ = 0;
  std::optional<SlicePlan::Cursor> cursor_;  // in the current read; empty when there is none
};

// Returns the size of a read's result in an encoded message.
std::size_t EncodedResultBytes(const PlannedRead& read);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_STREAM_MESSAGE_PACKER_H_
