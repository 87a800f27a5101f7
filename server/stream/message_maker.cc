// SPDX-License-Identifier: Apache-2.0
#include "server/stream/message_maker.h"

#include <google/protobuf/arena.h>

#include <set>
#include <utility>
#include <vector>

#include "lib/files/mapped_file.h"
#include "lib/wire/chunk_encoder.h"
#include "tensorferry/v1/tensor_service.pb.h"

namespace tensorferry::server {

MessageMaker::MessageMaker(StreamPlan plan, IoMode io, std::shared_ptr<BufferPool> buffers,
                           std::shared_ptr<InFlightBytes> in_flight)
    : packer_(std::move(plan),
              {.chunk_bytes = static_cast<std::int64_t>(buffers->buffer_bytes()), .extents = io == IoMode::kMmap}),
      loader_(
          {.io = io, .checksums_only = packer_.plan().checksums_only, .aligns_to_blocks = packer_.aligns_to_blocks()},
          std::move(buffers), std::move(in_flight)),
      io_(io) {}

bool MessageMaker::MayBeAnsweredFromCache() const {
  const StreamPlan& plan = packer_.plan();
  if (io_ != IoMode::kMmap || plan.checksums_only) return false;
  if (plan.header.size_bytes() > kMaxCachedBytes || plan.reads.size() > kMaxCachedReads) return false;
  std::int64_t runs = 0;
  for (const PlannedRead& read : plan.reads) {
    const std::int64_t size = read.result_end - read.result_begin;
    if (size > read.slice.run_bytes()) runs += size / read.slice.run_bytes();
  }
  return runs <= kMaxCachedRuns;
}

std::optional<Message> MessageMaker::AnswerFromCache() {
  if (!MayBeAnsweredFromCache()) return std::nullopt;
  packed_ = packer_.Pack();
  if (!packed_->is_last) return std::nullopt;
  const absl::StatusOr<ExtentLoader::Data> data = loader_.Load(*packed_, ExtentLoader::Policy::kPageCacheOnly, nullptr);
  // Data that was copied before the check is sound, even if the files change later.
  if (!data.ok() || !CheckUnchanged().ok()) return std::nullopt;
  Message message = Encode(*packed_, *data, packer_.plan().header.size_bytes());
  packed_.reset();
  return message;
}

bool MessageMaker::NextIsReady() const {
  if (packed_ || packer_.plan().checksums_only || !loader_.uses_mappings()) return false;
  const std::optional<Piece> block = packer_.PeekBlock();
  return block && ExtentLoader::IsReady(*block);
}

absl::StatusOr<Message> MessageMaker::Next(std::int64_t confirmed_size_bytes) {
  PackedMessage packed = packed_ ? *std::exchange(packed_, std::nullopt) : packer_.Pack();
  absl::StatusOr<ExtentLoader::Data> data =
      loader_.Load(packed, ExtentLoader::Policy::kWaitForDisk, OpenWindow(packed));
  if (!data.ok()) return data.status();
  Message message = Encode(packed, *data, confirmed_size_bytes);
  CloseWindow(data->size_bytes);
  return message;
}

Message MessageMaker::Encode(const PackedMessage& packed, const ExtentLoader::Data& data,
                             std::int64_t confirmed_size_bytes) {
  const StreamPlan& plan = packer_.plan();
  google::protobuf::Arena arena;
  v1::Chunk& head = *google::protobuf::Arena::CreateMessage<v1::Chunk>(&arena);
  if (packed.is_first) *head.mutable_header() = plan.header;
  if (confirmed_size_bytes > 0) head.set_confirmed_size_bytes(confirmed_size_bytes);
  for (std::size_t i = packed.results_begin; i < packed.results_end; ++i) {
    const PlannedRead& read = plan.reads[i];
    v1::ReadResult& result = *head.add_results();
    result.set_name(read.name.data(), read.name.size());
    result.set_dtype(read.dtype.data(), read.dtype.size());
    result.mutable_shape()->Add(read.slice.shape().begin(), read.slice.shape().end());
    result.set_size_bytes(read.slice.size_bytes());
  }
  for (const PackedSegment& packed_segment : packed.segments) {
    v1::Segment& segment = *head.add_segments();
    segment.set_read_index(static_cast<std::int64_t>(packed_segment.read_index));
    segment.set_result_offset(packed_segment.result_offset);
    segment.set_size_bytes(packed_segment.size_bytes);
  }
  if (packed.results_end == plan.reads.size()) packer_.ReleaseModel();
  return {wire::EncodeChunk(head, data.slices, data.crc), data.size_bytes};
}

std::shared_ptr<SentWindow> MessageMaker::OpenWindow(const PackedMessage& packed) {
  if (released_ == nullptr) return nullptr;
  if (window_ == nullptr) window_ = std::make_shared<SentWindow>(windows_++, released_);
  std::vector<std::shared_ptr<const MappedFile>>& files = window_->contents.files;
  for (const Piece& piece : packed.pieces) {
    // Pieces are in the order of the files.
    if (files.empty() || files.back() != piece.read->file) files.push_back(piece.read->file);
  }
  return window_;
}

void MessageMaker::CloseWindow(std::int64_t data_bytes) {
  sent_bytes_ += data_bytes;
  if (window_ == nullptr) return;
  window_bytes_ += data_bytes;
  window_->contents.end_bytes = sent_bytes_;
  window_->contents.is_last = done();
  if (!window_->contents.is_last && window_bytes_ < kWindowBytes) return;
  window_bytes_ = 0;
  window_.reset();
}

absl::Status MessageMaker::CheckUnchanged() const {
  std::set<const MappedFile*> checked;
  // In most plans, many reads of a file follow each other.
  const MappedFile* last = nullptr;
  for (const PlannedRead& read : packer_.plan().reads) {
    if (read.file.get() == last) continue;
    last = read.file.get();
    if (!checked.insert(last).second) continue;
    if (absl::Status status = last->CheckUnchanged(); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace tensorferry::server
