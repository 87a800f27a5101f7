// SPDX-License-Identifier: Apache-2.0
#include "server/stream/message_packer.h"

#include <algorithm>
#include <limits>
#include <span>
#include <string_view>
#include <tuple>
#include <utility>

#include "lib/files/block_cache.h"

namespace tensorferry::server {
namespace {

constexpr std::int64_t kBlockBytes = BlockCache::kBlockBytes;

// Returns true if the data ends with the byte before `position` of `file`, in an extent.
bool EndsAt(const PackedMessage& message, const MappedFile& file, std::int64_t position) {
  if (message.pieces.empty()) return false;
  const Piece& last = message.pieces.back();
  return last.kind == Piece::Kind::kExtent && last.read->file.get() == &file && last.end == position;
}

std::size_t VarintBytes(std::uint64_t value) {
  std::size_t bytes = 1;
  for (; value >= 0x80; value >>= 7) ++bytes;
  return bytes;
}

// A field of bytes has a tag of one byte, a length and the bytes. An empty one is left out.
std::size_t FieldBytes(std::size_t size) { return size == 0 ? 0 : 1 + VarintBytes(size) + size; }

}  // namespace

std::size_t EncodedResultBytes(const PlannedRead& read) {
  std::size_t shape = 0;
  for (const std::int64_t size : read.slice.shape()) shape += VarintBytes(static_cast<std::uint64_t>(size));
  const auto size_bytes = static_cast<std::uint64_t>(read.slice.size_bytes());
  return FieldBytes(read.name.size()) + FieldBytes(read.dtype.size()) + FieldBytes(shape) +
         (size_bytes == 0 ? 0 : 1 + VarintBytes(size_bytes));
}

MessagePacker::MessagePacker(StreamPlan plan, const Options& options)
    : plan_(std::move(plan)), chunk_bytes_(options.chunk_bytes), has_extents_(options.extents || plan_.checksums_only) {
  for (std::size_t i = 0; i < plan_.reads.size(); ++i) {
    if (plan_.reads[i].result_begin < plan_.reads[i].result_end) order_.push_back(i);
  }
  const auto before = [this](std::size_t a, std::size_t b) {
    const PlannedRead& x = plan_.reads[a];
    const PlannedRead& y = plan_.reads[b];
    if (x.file == y.file) return x.source_offset < y.source_offset;
    return std::tie(x.file->path(), x.file) < std::tie(y.file->path(), y.file);
  };
  // Many plans are in that order.
  if (!std::ranges::is_sorted(order_, before)) std::ranges::stable_sort(order_, before);
  FindStretches();
  EnterRead();
}

bool MessagePacker::aligns_to_blocks() const { return has_extents_ && chunk_bytes_ == kBlockBytes; }

void MessagePacker::FindStretches() {
  stretch_ends_.resize(order_.size());
  const PlannedRead* next = nullptr;
  std::int64_t next_begin = 0;
  for (std::size_t i = order_.size(); i-- > 0;) {
    const PlannedRead& read = plan_.reads[order_[i]];
    const SlicePlan::Cursor cursor(read.slice, read.result_begin);
    const std::int64_t begin = read.source_offset + cursor.source_position();
    const std::int64_t wanted_bytes = read.result_end - read.result_begin;
    const std::int64_t run_bytes = std::min(cursor.run_remaining_bytes(), wanted_bytes);
    const bool next_follows =
        run_bytes == wanted_bytes && next != nullptr && next->file == read.file && next_begin == begin + run_bytes;
    stretch_ends_[i] = next_follows ? stretch_ends_[i + 1] : begin + run_bytes;
    next = &read;
    next_begin = begin;
  }
}

void MessagePacker::EnterRead() {
  cursor_.reset();
  if (order_position_ < order_.size()) cursor_.emplace(current().slice, current().result_begin);
}

PackedMessage MessagePacker::Pack() {
  PackedMessage message;
  message.is_first = !std::exchange(started_, true);
  PackResults(message);
  if (results_packed_ == plan_.reads.size()) PackData(message);
  message.is_last = done();
  return message;
}

void MessagePacker::PackResults(PackedMessage& message) {
  message.results_begin = results_packed_;
  for (std::size_t size = 0; results_packed_ < plan_.reads.size() && size < kMaxResultsBytes; ++results_packed_) {
    size += EncodedResultBytes(plan_.reads[results_packed_]);
  }
  message.results_end = results_packed_;
}

void MessagePacker::PackData(PackedMessage& message) {
  while (order_position_ < order_.size() && message.size_bytes < chunk_bytes_ &&
         message.segments.size() < kMaxSegments) {
    const PlannedRead& read = current();
    const std::int64_t fits = std::min(read.result_end - cursor_->position(), chunk_bytes_ - message.size_bytes);
    const std::int64_t size_bytes = std::min(fits, BytesToBlockEnd(message));
    if (size_bytes == 0) break;
    message.segments.push_back({order_[order_position_], cursor_->position(), size_bytes});
    PackPieces(size_bytes, message);
    if (cursor_->position() == read.result_end) {
      ++order_position_;
      EnterRead();
    }
    if (size_bytes < fits) break;
  }
  message.is_block = aligns_to_blocks() && message.pieces.size() == 1 &&
                     message.pieces[0].kind == Piece::Kind::kExtent &&
                     BlockCache::IsBlock(message.pieces[0].begin, message.size_bytes);
}

std::int64_t MessagePacker::StretchBytes() const {
  const std::int64_t run_bytes = std::min(cursor_->run_remaining_bytes(), current().result_end - cursor_->position());
  return std::max(run_bytes, stretch_ends_[order_position_] - FilePosition());
}

std::int64_t MessagePacker::BytesToBlockEnd(const PackedMessage& message) const {
  constexpr std::int64_t kNoBlock = std::numeric_limits<std::int64_t>::max();
  if (!aligns_to_blocks()) return kNoBlock;
  const std::int64_t position = FilePosition();
  const bool is_empty = message.size_bytes == 0;
  if (!is_empty && !(message.pieces.size() == 1 && EndsAt(message, *current().file, position))) return kNoBlock;
  const std::int64_t in_block = position % kBlockBytes;
  const std::int64_t to_block_end = in_block == 0 && !is_empty ? 0 : kBlockBytes - in_block;
  // The manifest of a file has a checksum for each of its blocks.
  if (plan_.checksums_only && current().dtype.empty()) return to_block_end;
  // A shorter message pays only if a whole block follows.
  return StretchBytes() >= to_block_end + kBlockBytes ? to_block_end : kNoBlock;
}

void MessagePacker::PackPieces(std::int64_t size_bytes, PackedMessage& message) {
  const PlannedRead& read = current();
  message.size_bytes += size_bytes;
  const bool has_long_runs = std::min(read.slice.run_bytes(), size_bytes) >= kMinExtentBytes;
  const bool is_in_stretch = cursor_->run_remaining_bytes() >= size_bytes &&
                             (StretchBytes() >= kMinExtentBytes || EndsAt(message, *read.file, FilePosition()));
  if (!has_extents_ || !(has_long_runs || is_in_stretch)) {
    const std::int64_t begin = cursor_->position();
    message.pieces.push_back({Piece::Kind::kGather, &read, begin, begin + size_bytes});
    cursor_.emplace(read.slice, begin + size_bytes);
    return;
  }
  while (size_bytes > 0) {
    const std::int64_t begin = FilePosition();
    const std::int64_t run_bytes = cursor_->Next(size_bytes).size_bytes;
    if (!EndsAt(message, *read.file, begin)) message.pieces.push_back({Piece::Kind::kExtent, &read, begin, begin});
    message.pieces.back().end += run_bytes;
    size_bytes -= run_bytes;
  }
}

std::optional<MessagePacker::Ahead> MessagePacker::Peek() const {
  if (!cursor_) return std::nullopt;
  const std::int64_t begin = FilePosition();
  return Ahead{.file = current().file,
               .begin = begin,
               .next_end = begin + std::min(chunk_bytes_, BytesToBlockEnd(PackedMessage())),
               .end = begin + StretchBytes()};
}

std::optional<Piece> MessagePacker::PeekBlock() const {
  if (!started_ || results_packed_ < plan_.reads.size() || !aligns_to_blocks() || !cursor_) return std::nullopt;
  const std::int64_t begin = FilePosition();
  if (begin % kBlockBytes != 0 || StretchBytes() < kBlockBytes) return std::nullopt;
  return Piece{Piece::Kind::kExtent, &current(), begin, begin + kBlockBytes};
}

}  // namespace tensorferry::server
