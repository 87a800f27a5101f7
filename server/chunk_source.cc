// SPDX-License-Identifier: Apache-2.0
#include "server/chunk_source.h"

#include <algorithm>
#include <functional>
#include <set>
#include <span>
#include <tuple>
#include <utility>

#include "lib/wire/chunk_encoder.h"

namespace tensorferry::server {
namespace {

// What a slice that gRPC holds keeps alive, and counted.
class Keep {
 public:
  Keep(std::shared_ptr<const void> memory, std::shared_ptr<void> in_flight, std::shared_ptr<PinnedBytes> pinned,
       std::size_t size_bytes)
      : memory_(std::move(memory)),
        in_flight_(std::move(in_flight)),
        pinned_(std::move(pinned)),
        size_bytes_(static_cast<std::int64_t>(size_bytes)) {
    pinned_->Add(size_bytes_);
  }
  Keep(const Keep&) = delete;
  Keep& operator=(const Keep&) = delete;
  ~Keep() { pinned_->Remove(size_bytes_); }

 private:
  const std::shared_ptr<const void> memory_;
  const std::shared_ptr<void> in_flight_;
  const std::shared_ptr<PinnedBytes> pinned_;
  const std::int64_t size_bytes_;
};

}  // namespace

grpc::Slice ChunkSource::SliceOf(std::span<const std::byte> bytes, std::shared_ptr<const void> memory) const {
  // gRPC's signature wants a pointer that is not const; it does not write.
  return grpc::Slice(
      const_cast<std::byte*>(bytes.data()), bytes.size(), [](void* keep) { delete static_cast<Keep*>(keep); },
      new Keep(std::move(memory), in_flight_, pinned_, bytes.size()));
}

ChunkSource::ChunkSource(StreamPlan plan, IoMode io, std::shared_ptr<BufferPool> buffers,
                         std::shared_ptr<PinnedBytes> pinned, std::shared_ptr<void> in_flight)
    : plan_(std::move(plan)),
      io_(io),
      buffers_(std::move(buffers)),
      pinned_(std::move(pinned)),
      in_flight_(std::move(in_flight)) {
  for (std::size_t i = 0; i < plan_.reads.size(); ++i) {
    if (plan_.reads[i].result_begin < plan_.reads[i].result_end) order_.push_back(i);
  }
  // In the order of the files, so that the disk is read forwards.
  std::ranges::stable_sort(order_, {}, [this](std::size_t i) {
    return std::tuple(plan_.reads[i].file->path(), plan_.reads[i].source_offset);
  });
}

absl::StatusOr<grpc::ByteBuffer> ChunkSource::Next() {
  v1::Chunk head;
  if (!std::exchange(started_, true)) *head.mutable_header() = plan_.header;
  AnnounceResults(head);
  Data data;
  if (results_sent_ == plan_.results.size()) {
    if (absl::Status status = AddSegments(head, data); !status.ok()) return status;
  }
  FlushGathered(data);
  if (done()) in_flight_.reset();
  return wire::EncodeChunk(std::move(head), data.slices, data.crc);
}

void ChunkSource::AnnounceResults(v1::Chunk& head) {
  std::size_t size = 0;
  while (results_sent_ < plan_.results.size() && size < kMaxResultsBytes) {
    const v1::ReadResult& result = plan_.results[results_sent_++];
    size += result.ByteSizeLong();
    *head.add_results() = result;
  }
}

absl::Status ChunkSource::AddSegments(v1::Chunk& head, Data& data) {
  const auto chunk_bytes = static_cast<std::int64_t>(buffers_->buffer_bytes());
  while (order_position_ < order_.size() && data.size_bytes < chunk_bytes &&
         static_cast<std::size_t>(head.segments_size()) < kMaxSegments) {
    const std::size_t index = order_[order_position_];
    const PlannedRead& read = plan_.reads[index];
    if (!cursor_) cursor_.emplace(read.slice, read.result_begin);
    v1::Segment& segment = *head.add_segments();
    segment.set_read(static_cast<std::int64_t>(index));
    segment.set_result_offset(cursor_->position());
    const std::int64_t fits = std::min(read.result_end - cursor_->position(), chunk_bytes - data.size_bytes);
    segment.set_size_bytes(SegmentBytes(read, data, fits));
    if (absl::Status status = AddBytes(read, segment.size_bytes(), data); !status.ok()) return status;
    if (cursor_->position() == read.result_end) {
      cursor_.reset();
      reader_.reset();
      ++order_position_;
    }
    if (segment.size_bytes() < fits) break;
  }
  return absl::OkStatus();
}

std::int64_t ChunkSource::SegmentBytes(const PlannedRead& read, const Data& data, std::int64_t fits) const {
  if (!keeps_checksums() || data.size_bytes > 0) return fits;
  const std::int64_t position = read.source_offset + cursor_->source_position();
  const std::int64_t to_block_end = MappedFile::kBlockBytes - position % MappedFile::kBlockBytes;
  const std::int64_t run = std::min(cursor_->run_remaining_bytes(), read.result_end - cursor_->position());
  // Not worth a shorter message if no whole block follows it.
  return run >= to_block_end + MappedFile::kBlockBytes ? to_block_end : fits;
}

absl::Status ChunkSource::AddBytes(const PlannedRead& read, std::int64_t size_bytes, Data& data) {
  data.size_bytes += size_bytes;
  if (io_ != IoMode::kMmap || read.slice.run_bytes() < kMinMappedBytes || size_bytes < kMinMappedBytes) {
    return Gather(read, size_bytes, data);
  }
  while (size_bytes > 0) {
    const std::int64_t offset = read.source_offset + cursor_->source_position();
    const std::int64_t run_bytes = std::min(cursor_->run_remaining_bytes(), size_bytes);
    if (absl::Status status = read.file->Populate(offset, run_bytes); absl::IsUnimplemented(status)) {
      // Then touching the mapping would make gRPC's threads wait for the disk.
      io_ = IoMode::kPread;
      return Gather(read, size_bytes, data);
    } else if (!status.ok()) {
      return status;
    }
    cursor_->Next(run_bytes);
    size_bytes -= run_bytes;
    // A block fills the message alone: that is what the sizes of segments are chosen for.
    if (keeps_checksums() && run_bytes == MappedFile::kBlockBytes && offset % MappedFile::kBlockBytes == 0) {
      data.crc = read.file->BlockChecksum(offset / MappedFile::kBlockBytes);
    }
    FlushGathered(data);
    const std::span<const std::byte> bytes =
        read.file->bytes().subspan(static_cast<std::size_t>(offset), static_cast<std::size_t>(run_bytes));
    data.slices.push_back(SliceOf(bytes, read.file));
  }
  return absl::OkStatus();
}

absl::Status ChunkSource::Gather(const PlannedRead& read, std::int64_t size_bytes, Data& data) {
  if (data.buffer == nullptr) data.buffer = buffers_->Take();
  const std::span<std::byte> destination(data.buffer.get() + data.gathered_end, static_cast<std::size_t>(size_bytes));
  data.gathered_end += destination.size();
  if (io_ != IoMode::kMmap) {
    if (!reader_) reader_.emplace(read.file, read.source_offset, read.source_size_bytes, io_);
    return reader_->Read(*cursor_, destination);
  }
  const std::span<const std::byte> source = read.file->bytes().subspan(
      static_cast<std::size_t>(read.source_offset), static_cast<std::size_t>(read.source_size_bytes));
  cursor_->Gather(source, destination);
  return absl::OkStatus();
}

void ChunkSource::FlushGathered(Data& data) {
  if (data.gathered_begin == data.gathered_end) return;
  const std::span<const std::byte> bytes(data.buffer.get() + data.gathered_begin,
                                         data.gathered_end - data.gathered_begin);
  data.slices.push_back(SliceOf(bytes, data.buffer));
  data.gathered_begin = data.gathered_end;
}

absl::Status ChunkSource::CheckUnchanged() const {
  std::set<const MappedFile*> files;
  for (const PlannedRead& read : plan_.reads) files.insert(read.file.get());
  for (const MappedFile* file : files) {
    if (absl::Status status = file->CheckUnchanged(); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace tensorferry::server
