// SPDX-License-Identifier: Apache-2.0
#include "server/stream/extent_loader.h"

#include <sys/uio.h>

#include <algorithm>
#include <utility>

#include "lib/checksum/crc32c.h"
#include "lib/files/block_cache.h"
#include "lib/files/file_io.h"

namespace tensorferry::server {
namespace {

// A slice that gRPC holds: keeps its memory and its window, and counts its bytes.
class Held {
 public:
  Held(std::shared_ptr<const void> memory, std::shared_ptr<SentWindow> window, std::shared_ptr<InFlightBytes> in_flight,
       std::size_t size_bytes)
      : memory_(std::move(memory)),
        window_(std::move(window)),
        in_flight_(std::move(in_flight)),
        size_bytes_(static_cast<std::int64_t>(size_bytes)) {
    in_flight_->Add(size_bytes_);
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() { in_flight_->Remove(size_bytes_); }

 private:
  const std::shared_ptr<const void> memory_;
  const std::shared_ptr<SentWindow> window_;
  const std::shared_ptr<InFlightBytes> in_flight_;
  const std::int64_t size_bytes_;
};

absl::Status ReadFile(const MappedFile& file, std::int64_t offset, std::span<std::byte> destination,
                      ExtentLoader::Policy policy) {
  if (policy == ExtentLoader::Policy::kWaitForDisk) return ReadExactly(file.fd(), offset, destination, file.path());
  const iovec buffer = {.iov_base = destination.data(), .iov_len = destination.size()};
  const ssize_t size = ::preadv2(file.fd(), &buffer, 1, offset, RWF_NOWAIT);
  if (size == static_cast<ssize_t>(destination.size())) return absl::OkStatus();
  return absl::UnavailableError("some bytes are not in the page cache");
}

// Returns true if the bytes begin with a block that can be sent from the mapping without waiting.
bool BeginWithReadyBlock(const MappedFile& file, std::int64_t begin, std::int64_t size_bytes) {
  return begin % BlockCache::kBlockBytes == 0 && size_bytes >= BlockCache::kBlockBytes &&
         file.blocks().IsReady(begin / BlockCache::kBlockBytes);
}

}  // namespace

ExtentLoader::ExtentLoader(const Options& options, std::shared_ptr<BufferPool> buffers,
                           std::shared_ptr<InFlightBytes> in_flight)
    : options_(options),
      io_(options.checksums_only ? IoMode::kPread : options.io),
      buffers_(std::move(buffers)),
      in_flight_(std::move(in_flight)) {}

absl::StatusOr<ExtentLoader::Data> ExtentLoader::Load(const PackedMessage& message, Policy policy,
                                                      std::shared_ptr<SentWindow> window) {
  Loading loading{.policy = policy, .window = std::move(window)};
  for (const Piece& piece : message.pieces) {
    absl::Status status;
    if (piece.kind == Piece::Kind::kGather) {
      status = LoadGather(piece, loading);
    } else if (message.is_block) {
      status = LoadBlock(piece, loading);
    } else {
      status = LoadExtent(piece, loading);
    }
    if (!status.ok()) return status;
  }
  if (!options_.checksums_only) {
    FlushBuffer(loading);
    loading.data.size_bytes = message.size_bytes;
  } else if (loading.buffer_end > 0 && !loading.data.crc) {
    loading.data.crc = Crc32c(std::span<const std::byte>(loading.buffer.get(), loading.buffer_end));
  }
  return std::move(loading.data);
}

absl::Status ExtentLoader::LoadBlock(const Piece& block, Loading& loading) {
  const BlockCache& blocks = block.read->file->blocks();
  const std::int64_t index = block.begin / BlockCache::kBlockBytes;
  if (loading.policy == Policy::kPageCacheOnly) return ReadExtent(block, loading);
  const bool is_known = blocks.HasChecksum(index);
  if (options_.checksums_only && is_known) {
    loading.data.crc = blocks.Checksum(index);
    return absl::OkStatus();
  }
  // A new block passes through the processor anyway, for its checksum. Pages of a mapping that nobody has touched yet
  // cost more than a copy, on virtual machines several times as much.
  if (!uses_mappings() || (!is_known && buffers_->taken() < kMaxBuffersForBlocks)) {
    const absl::StatusOr<std::uint32_t> crc = blocks.Read(index, TakeRoom(block.size_bytes(), loading));
    if (!crc.ok()) return crc.status();
    loading.data.crc = *crc;
    return absl::OkStatus();
  }
  if (absl::Status status = LoadExtent(block, loading); !status.ok()) return status;
  // Not if the block was read after all: the mapping must not be touched.
  if (uses_mappings()) loading.data.crc = blocks.Checksum(index);
  return absl::OkStatus();
}

absl::Status ExtentLoader::LoadExtent(const Piece& extent, Loading& loading) {
  if (!uses_mappings() || loading.policy == Policy::kPageCacheOnly) return ReadExtent(extent, loading);
  const std::shared_ptr<const MappedFile>& file = extent.read->file;
  if (!options_.aligns_to_blocks || !BeginWithReadyBlock(*file, extent.begin, extent.size_bytes())) {
    absl::Status status = file->blocks().Populate(extent.begin, extent.size_bytes());
    if (absl::IsUnimplemented(status)) {
      // Touching the mapping could make gRPC's threads wait for the disk.
      io_ = IoMode::kPread;
      return ReadExtent(extent, loading);
    }
    if (!status.ok()) return status;
  }
  FlushBuffer(loading);
  AddSlice(file->bytes().subspan(static_cast<std::size_t>(extent.begin), static_cast<std::size_t>(extent.size_bytes())),
           file, loading);
  return absl::OkStatus();
}

absl::Status ExtentLoader::ReadExtent(const Piece& extent, Loading& loading) {
  return ReadFile(*extent.read->file, extent.begin, TakeRoom(extent.size_bytes(), loading), loading.policy);
}

absl::Status ExtentLoader::LoadGather(const Piece& gather, Loading& loading) {
  const PlannedRead& read = *gather.read;
  const std::span<std::byte> destination = TakeRoom(gather.size_bytes(), loading);
  if (!uses_mappings() || loading.policy == Policy::kPageCacheOnly) {
    if (!runs_ || &runs_->read() != &read) runs_.emplace(read);
    return runs_->Read(gather.begin, destination, loading.policy);
  }
  SlicePlan::Cursor cursor(read.slice, gather.begin);
  cursor.Gather(read.file->bytes().subspan(static_cast<std::size_t>(read.source_offset),
                                           static_cast<std::size_t>(read.source_size_bytes)),
                destination);
  return absl::OkStatus();
}

std::span<std::byte> ExtentLoader::TakeRoom(std::int64_t size_bytes, Loading& loading) {
  if (loading.buffer == nullptr) loading.buffer = buffers_->Take();
  const std::span<std::byte> room(loading.buffer.get() + loading.buffer_end, static_cast<std::size_t>(size_bytes));
  loading.buffer_end += room.size();
  return room;
}

void ExtentLoader::FlushBuffer(Loading& loading) {
  if (loading.buffer_begin == loading.buffer_end) return;
  const std::span<const std::byte> bytes(loading.buffer.get() + loading.buffer_begin,
                                         loading.buffer_end - loading.buffer_begin);
  AddSlice(bytes, loading.buffer, loading);
  loading.buffer_begin = loading.buffer_end;
}

void ExtentLoader::AddSlice(std::span<const std::byte> bytes, std::shared_ptr<const void> memory, Loading& loading) {
  // gRPC's signature takes a pointer that is not const, but gRPC does not write.
  loading.data.slices.emplace_back(
      const_cast<std::byte*>(bytes.data()), bytes.size(), [](void* held) { delete static_cast<Held*>(held); },
      new Held(std::move(memory), loading.window, in_flight_, bytes.size()));
}

bool ExtentLoader::IsReady(const Piece& block) {
  return BeginWithReadyBlock(*block.read->file, block.begin, block.size_bytes());
}

bool ExtentLoader::WouldBlock(const MappedFile& file, std::int64_t offset) { return file.blocks().WouldBlock(offset); }

bool ExtentLoader::IsNewBlock(const MappedFile& file, std::int64_t begin, std::int64_t size_bytes) const {
  return options_.aligns_to_blocks && BlockCache::IsBlock(begin, size_bytes) &&
         !file.blocks().HasChecksum(begin / BlockCache::kBlockBytes);
}

void ExtentLoader::BringIn(const FileRange& range) {
  if (range.to_mapping) {
    range.file->blocks().Populate(range.begin, range.size_bytes).IgnoreError();
  } else {
    range.file->blocks().ReadAhead(range.begin, range.size_bytes);
  }
}

absl::Status ExtentLoader::RunReader::ReadAt(std::int64_t source_offset, std::span<std::byte> destination,
                                             Policy policy) const {
  return ReadFile(*read_->file, read_->source_offset + source_offset, destination, policy);
}

absl::Status ExtentLoader::RunReader::Read(std::int64_t result_offset, std::span<std::byte> destination,
                                           Policy policy) {
  SlicePlan::Cursor cursor(read_->slice, result_offset);
  while (!destination.empty()) {
    const SlicePlan::Run run = cursor.Next(static_cast<std::int64_t>(destination.size()));
    const std::span<std::byte> target = destination.first(static_cast<std::size_t>(run.size_bytes));
    destination = destination.subspan(target.size());
    if (run.size_bytes >= kReadBytes || cursor.remaining_bytes() == 0) {
      if (absl::Status status = ReadAt(run.source_offset, target, policy); !status.ok()) return status;
      continue;
    }
    const std::int64_t end = begin_ + static_cast<std::int64_t>(bytes_.size());
    if (run.source_offset < begin_ || run.source_offset + run.size_bytes > end) {
      begin_ = run.source_offset;
      bytes_.resize(static_cast<std::size_t>(std::min(kReadBytes, read_->source_size_bytes - run.source_offset)));
      if (absl::Status status = ReadAt(begin_, bytes_, policy); !status.ok()) {
        bytes_.clear();
        return status;
      }
    }
    std::ranges::copy(std::span(bytes_).subspan(static_cast<std::size_t>(run.source_offset - begin_), target.size()),
                      target.begin());
  }
  return absl::OkStatus();
}

}  // namespace tensorferry::server
