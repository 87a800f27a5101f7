// SPDX-License-Identifier: Apache-2.0
#include "client/fetch/checksum_comparison.h"

#include <fmt/format.h>

#include <limits>

#include "lib/checksum/crc32c_combine.h"
#include "lib/text/quote.h"

namespace tensorferry {

absl::Status ChecksumComparison::Add(const wire::DecodedChunk& chunk) {
  if (chunk.head->has_header() == has_header_) return BrokenProtocol("the header must be in the first message only");
  if (chunk.head->has_header()) {
    has_header_ = true;
    const v1::StreamHeader& header = chunk.head->header();
    if (header.generation() != generation_) {
      return absl::AbortedError(fmt::format("the model changed: its generation is {}, not {}",
                                            Quote(header.generation()), Quote(generation_)));
    }
    if (header.read_count() != static_cast<std::int64_t>(received_.size())) {
      return BrokenProtocol(fmt::format("{} reads where {} were requested", header.read_count(), received_.size()));
    }
  }
  std::int64_t size_bytes = 0;
  for (const v1::Segment& segment : chunk.head->segments()) {
    if (absl::Status status = AddSegment(segment); !status.ok()) return status;
    if (segment.size_bytes() > std::numeric_limits<std::int64_t>::max() - size_bytes) {
      return BrokenProtocol("segments of more than 8 EiB");
    }
    size_bytes += segment.size_bytes();
  }
  if (size_bytes > 0) theirs_ = Crc32cCombine(theirs_, chunk.head->crc32c(), size_bytes);
  return absl::OkStatus();
}

absl::Status ChecksumComparison::AddSegment(const v1::Segment& segment) {
  if (segment.read_index() < 0 || static_cast<std::size_t>(segment.read_index()) >= received_.size()) {
    return BrokenProtocol(
        fmt::format("checksums of read {} where {} were requested", segment.read_index(), received_.size()));
  }
  const auto index = static_cast<std::size_t>(segment.read_index());
  const ReceivedRange& range = received_[index];
  if (!current_) {
    if (covered_[index]) return BrokenProtocol(fmt::format("read {} twice", index));
    current_ = index;
    current_end_ = range.begin;
  }
  const std::int64_t range_end = range.begin + range.size_bytes;
  if (*current_ != index || segment.result_offset() != current_end_ ||
      segment.size_bytes() > range_end - current_end_) {
    return BrokenProtocol(fmt::format("bytes [{}, {} + {}) of read {} where byte {} of read {} follows",
                                      segment.result_offset(), segment.result_offset(), segment.size_bytes(), index,
                                      current_end_, *current_));
  }
  current_end_ += segment.size_bytes();
  if (current_end_ < range_end) return absl::OkStatus();
  ours_ = Crc32cCombine(ours_, range.crc32c, range.size_bytes);
  covered_[index] = true;
  --uncovered_;
  current_.reset();
  return absl::OkStatus();
}

absl::Status ChecksumComparison::Complete() const {
  if (uncovered_ > 0) return BrokenProtocol(fmt::format("it ended with {} reads missing", uncovered_));
  if (ours_ == theirs_) return absl::OkStatus();
  return absl::AbortedError("the server has other bytes under the same generation than the bytes that arrived before");
}

}  // namespace tensorferry
