// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_STREAM_CHUNK_SOURCE_H_
#define TENSORFERRY_SERVER_STREAM_CHUNK_SOURCE_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "server/stream/buffer_pool.h"
#include "server/stream/in_flight_bytes.h"
#include "server/stream/options.h"
#include "server/stream/run_reader.h"
#include "server/stream/sent_window.h"
#include "server/stream/stream_plan.h"
#include "tensorferry/slice_plan.h"

namespace tensorferry::server {

// Turns a plan into the messages of a stream, one at a time. Long runs of bytes, and reads that follow each other in
// their file, are referred to in the mapping, but for blocks that nobody has read yet, which are read; short runs are
// gathered in a pooled buffer, because many small slices cost gRPC more than one copy. Without the mapping (IoMode) all
// of it is read into pooled buffers. A plan for checksums gives the same messages without their data: it never touches
// the mapping, and reads only blocks that have no checksum yet. Not safe for concurrent use. Next may wait for the
// disk.
class ChunkSource {
 public:
  // `in_flight` counts the data that gRPC holds. `on_released` is called once for each window of the data, when gRPC
  // has released it, and at least once; null: never.
  ChunkSource(StreamPlan plan, IoMode io, std::shared_ptr<BufferPool> buffers, std::shared_ptr<InFlightBytes> in_flight,
              SentWindow::OnReleased on_released);

  // Whether a message was taken.
  bool started() const { return started_; }
  // Whether all messages were taken. The first message stands even if there is no data.
  bool done() const { return started_ && results_sent_ == plan_.reads.size() && order_position_ == order_.size(); }

  // Whether the next message is one block of a file that can be sent as it is, so that Next neither waits nor computes.
  bool NextIsReady() const;

  struct Message {
    grpc::ByteBuffer bytes;
    std::int64_t data_bytes = 0;  // those of tensors or files in it
  };

  // The next message, which says that the first `confirmed_size_bytes` of the stream are confirmed; 0: nothing. Must
  // not be called when done. Errors: DATA_LOSS if a file has shrunk or its disk fails; UNAVAILABLE with kPreadCached if
  // something is not in the page cache.
  absl::StatusOr<Message> Next(std::int64_t confirmed_size_bytes = 0);

  // Bytes of a file, which may not be in memory.
  struct FileRange {
    std::shared_ptr<const MappedFile> file;
    std::int64_t begin = 0;
    std::int64_t size_bytes = 0;
    bool to_mapping = false;  // the message will refer to it there
  };
  // What messages after the next one will need and is not in the page cache: about a message's worth, a few of them at
  // most before the first is taken, and none twice. To be brought in (MappedFile::Populate, or ReadAhead for what will
  // be read) while the next message is made.
  std::optional<FileRange> NextAhead();

  // ABORTED if a file that was read from has changed since it was opened.
  absl::Status CheckUnchanged() const;

 private:
  // Shorter runs are gathered.
  static constexpr std::int64_t kMinMappedBytes = 8 << 10;
  // How far behind the next message may lie what is read ahead. A disk, or what it is on the other side of a network,
  // is fastest with several requests.
  static constexpr std::int64_t kMessagesAhead = 8;
  // Blocks are read into buffers rather than referred to while fewer buffers than this are taken.
  static constexpr std::size_t kMaxBuffersForBlocks = 16;
  // The size of a window. The contract promises confirmations at least every 16 MiB: they come with the message after a
  // window was released, when a few more are on their way already.
  static constexpr std::int64_t kWindowBytes = 8 << 20;
  // The most that the results announced in one message may take.
  static constexpr std::size_t kMaxResultsBytes = 512 << 10;
  static constexpr std::size_t kMaxSegments = 32 << 10;

  // The data of the message that is being put together.
  struct Data {
    std::vector<grpc::Slice> slices;
    std::int64_t size_bytes = 0;
    std::optional<std::uint32_t> crc;  // if all of it is one block whose checksum is kept
    // Of what is in the mapping but not yet in a slice; null if nothing is.
    std::shared_ptr<const MappedFile> mapped_file;
    std::int64_t mapped_begin = 0;
    std::int64_t mapped_end = 0;
    std::shared_ptr<std::byte[]> buffer;
    std::size_t gathered_begin = 0;  // of what is in the buffer but not yet in a slice
    std::size_t gathered_end = 0;

    // Whether the data ends with what is in the mapping before `position` of `file`.
    bool ends_at(const MappedFile& file, std::int64_t position) const {
      return mapped_file.get() == &file && mapped_end == position;
    }
    // Whether there is data, and all of it follows each other in the mapping.
    bool is_stretch() const { return mapped_file != nullptr && mapped_end - mapped_begin == size_bytes; }
  };

  // True if runs of a file are added by their place in it, and read or referred to when they are complete.
  bool adds_runs() const { return io_ == IoMode::kMmap || plan_.checksums_only; }
  // True if a block of a file is exactly what fills a message.
  bool keeps_checksums() const { return adds_runs() && buffers_->buffer_bytes() == MappedFile::kBlockBytes; }

  // The window that the next data belongs to.
  SentWindow& Window();
  // Adds the file to it.
  void Touch(const std::shared_ptr<const MappedFile>& file);
  // Counts the message's data, and closes the window if it is full or the last.
  void CloseWindow(std::int64_t data_bytes);
  void AnnounceResults(v1::Chunk& head);
  absl::Status AddSegments(v1::Chunk& head, Data& data);
  void FindStretches();
  // Where in its file the read goes on that the cursor is in.
  std::int64_t FilePosition(const PlannedRead& read) const { return read.source_offset + cursor_->source_position(); }
  // How many bytes of the plan follow each other there.
  std::int64_t StretchBytes(const PlannedRead& read) const;
  // How much of the read may go into the message so that it, or the next ones, are whole blocks, whose checksums are
  // kept.
  std::int64_t BytesToBlockEnd(const PlannedRead& read, const Data& data) const;
  absl::Status AddBytes(const PlannedRead& read, std::int64_t size_bytes, Data& data);
  // Gathers from the mapping, or with pread.
  absl::Status Gather(const PlannedRead& read, std::int64_t size_bytes, Data& data);
  // Memory in the pooled buffer.
  std::span<std::byte> TakeRoom(std::int64_t size_bytes, Data& data);
  // Turn what was added into slices. To be called before bytes of the other kind are added.
  absl::Status FlushMapped(Data& data);
  // The same for one whole block, with its checksum.
  absl::Status FlushBlock(Data& data);
  void FlushGathered(Data& data);
  // Reads a run into the pooled buffer.
  absl::Status ReadRun(const MappedFile& file, std::int64_t begin, std::int64_t size_bytes, Data& data);
  // Bytes that `memory` keeps alive, as gRPC holds them.
  grpc::Slice SliceOf(std::span<const std::byte> bytes, std::shared_ptr<const void> memory);

  StreamPlan plan_;
  IoMode io_;
  const std::shared_ptr<BufferPool> buffers_;
  const std::shared_ptr<InFlightBytes> in_flight_;
  const SentWindow::OnReleased on_released_;
  std::shared_ptr<SentWindow> window_;  // null while it has no data
  std::int64_t windows_ = 0;            // that were begun
  std::int64_t window_bytes_ = 0;       // of data in it
  std::int64_t sent_bytes_ = 0;         // of data, in the messages taken
  std::vector<std::size_t> order_;      // of the reads that have bytes to send
  // Of each of those: where in the file the bytes end that follow its first and each other, in it and, if it is one
  // run, in the reads behind it.
  std::vector<std::int64_t> stretch_ends_;
  bool started_ = false;
  std::size_t results_sent_ = 0;
  std::size_t order_position_ = 0;
  std::optional<SlicePlan::Cursor> cursor_;  // of the read at order_position_
  std::optional<RunReader> reader_;          // for the same, with pread
  // Where what was read ahead ends.
  std::shared_ptr<const MappedFile> ahead_file_;
  std::int64_t ahead_end_ = 0;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_STREAM_CHUNK_SOURCE_H_
