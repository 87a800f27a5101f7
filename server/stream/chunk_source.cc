// SPDX-License-Identifier: Apache-2.0
#include "server/stream/chunk_source.h"

#include <google/protobuf/arena.h>

#include <algorithm>
#include <limits>
#include <set>
#include <span>
#include <tuple>
#include <utility>

#include "lib/files/file_io.h"
#include "lib/wire/chunk_encoder.h"

namespace tensorferry::server {
namespace {

// What a slice that gRPC holds keeps alive, and counted.
class Keep {
 public:
  Keep(std::shared_ptr<const void> memory, std::shared_ptr<SentWindow> window, std::shared_ptr<InFlightBytes> in_flight,
       std::size_t size_bytes)
      : memory_(std::move(memory)),
        window_(std::move(window)),
        in_flight_(std::move(in_flight)),
        size_bytes_(static_cast<std::int64_t>(size_bytes)) {
    in_flight_->Add(size_bytes_);
  }
  Keep(const Keep&) = delete;
  Keep& operator=(const Keep&) = delete;
  ~Keep() { in_flight_->Remove(size_bytes_); }

 private:
  const std::shared_ptr<const void> memory_;
  const std::shared_ptr<SentWindow> window_;
  const std::shared_ptr<InFlightBytes> in_flight_;
  const std::int64_t size_bytes_;
};

// Whether the bytes there begin with a block that can be sent as it is.
bool IsReadyBlock(const MappedFile& file, std::int64_t offset, std::int64_t size_bytes) {
  return offset % MappedFile::kBlockBytes == 0 && size_bytes >= MappedFile::kBlockBytes &&
         file.BlockIsReady(offset / MappedFile::kBlockBytes);
}

}  // namespace

grpc::Slice ChunkSource::SliceOf(std::span<const std::byte> bytes, std::shared_ptr<const void> memory) {
  // gRPC's signature wants a pointer that is not const; it does not write.
  return grpc::Slice(
      const_cast<std::byte*>(bytes.data()), bytes.size(), [](void* keep) { delete static_cast<Keep*>(keep); },
      new Keep(std::move(memory), on_released_ ? window_ : nullptr, in_flight_, bytes.size()));
}

SentWindow& ChunkSource::Window() {
  if (window_ == nullptr) {
    window_ = std::make_shared<SentWindow>(SentWindow::Contents{.index = windows_++}, on_released_);
  }
  return *window_;
}

void ChunkSource::CloseWindow(std::int64_t data_bytes) {
  sent_bytes_ += data_bytes;
  if (!on_released_) return;
  SentWindow::Contents& contents = Window().contents;
  contents.end_bytes = sent_bytes_;
  window_bytes_ += data_bytes;
  contents.is_last = done();
  if (!contents.is_last && window_bytes_ < kWindowBytes) return;
  window_bytes_ = 0;
  window_.reset();
}

ChunkSource::ChunkSource(StreamPlan plan, IoMode io, std::shared_ptr<BufferPool> buffers,
                         std::shared_ptr<InFlightBytes> in_flight, SentWindow::OnReleased on_released)
    : plan_(std::move(plan)),
      io_(plan_.checksums_only ? IoMode::kPread : io),
      buffers_(std::move(buffers)),
      in_flight_(std::move(in_flight)),
      on_released_(std::move(on_released)) {
  for (std::size_t i = 0; i < plan_.reads.size(); ++i) {
    if (plan_.reads[i].result_begin < plan_.reads[i].result_end) order_.push_back(i);
  }
  // In the order of the files, so that the disk is read forwards.
  const auto before = [this](std::size_t a, std::size_t b) {
    const PlannedRead& x = plan_.reads[a];
    const PlannedRead& y = plan_.reads[b];
    if (x.file == y.file) return x.source_offset < y.source_offset;
    return std::tie(x.file->path(), x.file) < std::tie(y.file->path(), y.file);
  };
  // Many plans are in that order.
  if (!std::ranges::is_sorted(order_, before)) std::ranges::stable_sort(order_, before);
  FindStretches();
}

void ChunkSource::FindStretches() {
  stretch_ends_.resize(order_.size());
  const PlannedRead* next = nullptr;
  std::int64_t next_begin = 0;
  for (std::size_t i = order_.size(); i-- > 0;) {
    const PlannedRead& read = plan_.reads[order_[i]];
    const SlicePlan::Cursor cursor(read.slice, read.result_begin);
    const std::int64_t begin = read.source_offset + cursor.source_position();
    const std::int64_t run_bytes = std::min(cursor.run_remaining_bytes(), read.result_end - read.result_begin);
    const bool one_run = run_bytes == read.result_end - read.result_begin;
    const bool goes_on = one_run && next != nullptr && next->file == read.file && next_begin == begin + run_bytes;
    stretch_ends_[i] = goes_on ? stretch_ends_[i + 1] : begin + run_bytes;
    next = &read;
    next_begin = begin;
  }
}

bool ChunkSource::NextIsReady() const {
  if (!started_ || results_sent_ < plan_.reads.size() || plan_.checksums_only || !keeps_checksums() || !cursor_) {
    return false;
  }
  const PlannedRead& read = plan_.reads[order_[order_position_]];
  return IsReadyBlock(*read.file, FilePosition(read), StretchBytes(read));
}

absl::StatusOr<ChunkSource::Message> ChunkSource::Next(std::int64_t confirmed_size_bytes) {
  google::protobuf::Arena arena;
  v1::Chunk& head = *google::protobuf::Arena::CreateMessage<v1::Chunk>(&arena);
  if (!std::exchange(started_, true)) *head.mutable_header() = plan_.header;
  if (confirmed_size_bytes > 0) head.set_confirmed_size_bytes(confirmed_size_bytes);
  AnnounceResults(head);
  Data data;
  if (results_sent_ == plan_.reads.size()) {
    if (absl::Status status = AddSegments(head, data); !status.ok()) return status;
  }
  FlushGathered(data);
  if (plan_.checksums_only) {
    if (!data.crc && data.size_bytes > 0) data.crc = wire::Checksum(data.slices);
    data.slices.clear();
    data.size_bytes = 0;
  }
  grpc::ByteBuffer bytes = wire::EncodeChunk(head, data.slices, data.crc);
  CloseWindow(data.size_bytes);
  return Message{.bytes = std::move(bytes), .data_bytes = data.size_bytes};
}

std::optional<ChunkSource::FileRange> ChunkSource::NextAhead() {
  if (io_ != IoMode::kMmap || order_position_ == order_.size()) return std::nullopt;
  const PlannedRead& read = plan_.reads[order_[order_position_]];
  if (!cursor_) cursor_.emplace(read.slice, read.result_begin);
  const auto chunk_bytes = static_cast<std::int64_t>(buffers_->buffer_bytes());
  const std::int64_t position = FilePosition(read);
  const std::int64_t stretch_end = position + StretchBytes(read);
  const std::int64_t next_end = position + std::min(chunk_bytes, BytesToBlockEnd(read, Data()));
  const std::int64_t ahead_max = std::min(stretch_end, next_end + kMessagesAhead * chunk_bytes);
  if (ahead_file_ != read.file || ahead_end_ < next_end || ahead_end_ > ahead_max) ahead_end_ = next_end;
  ahead_file_ = read.file;
  while (ahead_end_ < ahead_max) {
    const std::int64_t begin = std::exchange(ahead_end_, std::min(ahead_end_ + chunk_bytes, ahead_max));
    // Files are read forwards: what comes last is there last.
    if (!read.file->MustWaitFor(ahead_end_ - 1)) continue;
    const bool is_block = MappedFile::IsBlock(begin, ahead_end_ - begin);
    const bool to_read = is_block && keeps_checksums() && !read.file->HasBlockChecksum(begin / MappedFile::kBlockBytes);
    return FileRange{.file = read.file, .begin = begin, .size_bytes = ahead_end_ - begin, .to_mapping = !to_read};
  }
  return std::nullopt;
}

void ChunkSource::AnnounceResults(v1::Chunk& head) {
  std::size_t size = 0;
  while (results_sent_ < plan_.reads.size() && size < kMaxResultsBytes) {
    const PlannedRead& read = plan_.reads[results_sent_++];
    v1::ReadResult& result = *head.add_results();
    result.set_name(read.name.data(), read.name.size());
    result.set_dtype(read.dtype.data(), read.dtype.size());
    result.mutable_shape()->Add(read.slice.shape().begin(), read.slice.shape().end());
    result.set_size_bytes(read.slice.size_bytes());
    size += result.ByteSizeLong();
  }
  // Nothing of it is needed any more but the files that are read: the others may be replaced, and go.
  if (results_sent_ == plan_.reads.size()) plan_.model.reset();
}

absl::Status ChunkSource::AddSegments(v1::Chunk& head, Data& data) {
  const auto chunk_bytes = static_cast<std::int64_t>(buffers_->buffer_bytes());
  while (order_position_ < order_.size() && data.size_bytes < chunk_bytes &&
         static_cast<std::size_t>(head.segments_size()) < kMaxSegments) {
    const std::size_t index = order_[order_position_];
    const PlannedRead& read = plan_.reads[index];
    if (!cursor_) cursor_.emplace(read.slice, read.result_begin);
    const std::int64_t fits = std::min(read.result_end - cursor_->position(), chunk_bytes - data.size_bytes);
    const std::int64_t size_bytes = std::min(fits, BytesToBlockEnd(read, data));
    if (size_bytes == 0) break;
    v1::Segment& segment = *head.add_segments();
    segment.set_read_index(static_cast<std::int64_t>(index));
    segment.set_result_offset(cursor_->position());
    segment.set_size_bytes(size_bytes);
    if (absl::Status status = AddBytes(read, size_bytes, data); !status.ok()) return status;
    if (cursor_->position() == read.result_end) {
      cursor_.reset();
      reader_.reset();
      ++order_position_;
    }
    if (size_bytes < fits) break;
  }
  const bool is_block = data.is_stretch() && MappedFile::IsBlock(data.mapped_begin, data.size_bytes);
  return is_block && keeps_checksums() ? FlushBlock(data) : FlushMapped(data);
}

std::int64_t ChunkSource::StretchBytes(const PlannedRead& read) const {
  const std::int64_t run_bytes = std::min(cursor_->run_remaining_bytes(), read.result_end - cursor_->position());
  return std::max(run_bytes, stretch_ends_[order_position_] - FilePosition(read));
}

std::int64_t ChunkSource::BytesToBlockEnd(const PlannedRead& read, const Data& data) const {
  constexpr std::int64_t kNoBlock = std::numeric_limits<std::int64_t>::max();
  const std::int64_t position = FilePosition(read);
  const bool follows = data.is_stretch() && data.ends_at(*read.file, position);
  if (!keeps_checksums() || (data.size_bytes > 0 && !follows)) return kNoBlock;
  const std::int64_t in_block = position % MappedFile::kBlockBytes;
  const std::int64_t to_block_end = in_block == 0 && data.size_bytes > 0 ? 0 : MappedFile::kBlockBytes - in_block;
  // The manifest of a file has a checksum for each of its blocks.
  if (plan_.checksums_only && read.dtype.empty()) return to_block_end;
  // Not worth a shorter message if no whole block follows it.
  return StretchBytes(read) >= to_block_end + MappedFile::kBlockBytes ? to_block_end : kNoBlock;
}

absl::Status ChunkSource::AddBytes(const PlannedRead& read, std::int64_t size_bytes, Data& data) {
  data.size_bytes += size_bytes;
  const bool long_runs = std::min(read.slice.run_bytes(), size_bytes) >= kMinMappedBytes;
  const bool in_stretch = cursor_->run_remaining_bytes() >= size_bytes &&
                          (StretchBytes(read) >= kMinMappedBytes || data.ends_at(*read.file, FilePosition(read)));
  if (!adds_runs() || !(long_runs || in_stretch)) {
    if (absl::Status status = FlushMapped(data); !status.ok()) return status;
    return Gather(read, size_bytes, data);
  }
  while (size_bytes > 0) {
    const std::int64_t offset = FilePosition(read);
    const std::int64_t run_bytes = std::min(cursor_->run_remaining_bytes(), size_bytes);
    if (!data.ends_at(*read.file, offset)) {
      FlushGathered(data);
      if (absl::Status status = FlushMapped(data); !status.ok()) return status;
      data.mapped_file = read.file;
      data.mapped_begin = offset;
      Touch(read.file);
    }
    data.mapped_end = offset + run_bytes;
    cursor_->Next(run_bytes);
    size_bytes -= run_bytes;
  }
  return absl::OkStatus();
}

absl::Status ChunkSource::FlushMapped(Data& data) {
  if (data.mapped_file == nullptr) return absl::OkStatus();
  const std::shared_ptr<const MappedFile> file = std::exchange(data.mapped_file, nullptr);
  const std::int64_t size_bytes = data.mapped_end - data.mapped_begin;
  if (plan_.checksums_only) return ReadRun(*file, data.mapped_begin, size_bytes, data);
  if (keeps_checksums() && IsReadyBlock(*file, data.mapped_begin, size_bytes)) {
    // Nothing to wait for.
  } else if (absl::Status status = file->Populate(data.mapped_begin, size_bytes); absl::IsUnimplemented(status)) {
    // Then touching the mapping would make gRPC's threads wait for the disk.
    io_ = IoMode::kPread;
    return ReadRun(*file, data.mapped_begin, size_bytes, data);
  } else if (!status.ok()) {
    return status;
  }
  const std::span<const std::byte> bytes =
      file->bytes().subspan(static_cast<std::size_t>(data.mapped_begin), static_cast<std::size_t>(size_bytes));
  data.slices.push_back(SliceOf(bytes, file));
  return absl::OkStatus();
}

absl::Status ChunkSource::ReadRun(const MappedFile& file, std::int64_t begin, std::int64_t size_bytes, Data& data) {
  absl::Status status = ReadExactly(file.fd(), begin, TakeRoom(size_bytes, data), file.path());
  FlushGathered(data);
  return status;
}

absl::Status ChunkSource::FlushBlock(Data& data) {
  const std::shared_ptr<const MappedFile> file = data.mapped_file;
  const std::int64_t index = data.mapped_begin / MappedFile::kBlockBytes;
  if (plan_.checksums_only && file->HasBlockChecksum(index)) {
    data.mapped_file = nullptr;
    data.crc = file->BlockChecksum(index);
    return absl::OkStatus();
  }
  // Its checksum means that all of it passes through the processor. Pages of a mapping that nobody has touched yet cost
  // more than a copy, on virtual machines several times as much.
  if (plan_.checksums_only || (!file->HasBlockChecksum(index) && buffers_->taken() < kMaxBuffersForBlocks)) {
    const absl::StatusOr<std::uint32_t> crc = file->ReadBlock(index, TakeRoom(data.size_bytes, data));
    if (!crc.ok()) return crc.status();
    data.mapped_file = nullptr;
    data.crc = *crc;
    return absl::OkStatus();
  }
  if (absl::Status status = FlushMapped(data); !status.ok()) return status;
  // Not if it was read after all (FlushMapped), so as not to touch the mapping.
  if (keeps_checksums()) data.crc = file->BlockChecksum(index);
  return absl::OkStatus();
}

std::span<std::byte> ChunkSource::TakeRoom(std::int64_t size_bytes, Data& data) {
  if (data.buffer == nullptr) data.buffer = buffers_->Take();
  const std::span<std::byte> room(data.buffer.get() + data.gathered_end, static_cast<std::size_t>(size_bytes));
  data.gathered_end += room.size();
  return room;
}

absl::Status ChunkSource::Gather(const PlannedRead& read, std::int64_t size_bytes, Data& data) {
  const std::span<std::byte> destination = TakeRoom(size_bytes, data);
  Touch(read.file);
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

void ChunkSource::Touch(const std::shared_ptr<const MappedFile>& file) {
  if (!on_released_) return;
  std::vector<std::shared_ptr<const MappedFile>>& files = Window().contents.files;
  // Files follow each other: the last one is the likely one.
  if (files.empty() || files.back() != file) files.push_back(file);
}

absl::Status ChunkSource::CheckUnchanged() const {
  std::set<const MappedFile*> checked;
  const MappedFile* last = nullptr;  // in most plans many reads of a file follow each other
  for (const PlannedRead& read : plan_.reads) {
    if (read.file.get() == last) continue;
    last = read.file.get();
    if (!checked.insert(last).second) continue;
    if (absl::Status status = last->CheckUnchanged(); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace tensorferry::server
