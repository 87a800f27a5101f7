// SPDX-License-Identifier: Apache-2.0
#include "client/fetch/assembler.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "lib/checksum/crc32c.h"
#include "lib/checksum/memcpy_crc32c.h"
#include "lib/tensor/checked_math.h"
#include "lib/text/quote.h"

namespace tensorferry {
namespace {

// Smaller results may be read from a cache soon, so they are not copied past it.
constexpr std::int64_t kMinStreamedBytes = std::int64_t{1} << 20;

// Returns true if the dtype and shape of a result give its size, in whole bytes.
bool SizeMatches(Dtype dtype, const v1::ReadResult& result) {
  const std::optional<std::uint64_t> bits =
      CheckedBits(dtype, {result.shape().data(), static_cast<std::size_t>(result.shape_size())});
  return bits && *bits % 8 == 0 && *bits / 8 == static_cast<std::uint64_t>(result.size_bytes());
}

bool IsSame(const ReadResult& a, const ReadResult& b) {
  return a.name == b.name && a.dtype == b.dtype && a.shape == b.shape && a.size_bytes == b.size_bytes;
}

// Iterates over the pieces of a chunk's data.
class PieceCursor {
 public:
  explicit PieceCursor(const wire::DecodedChunk& chunk) : piece_(chunk.data.begin()) {}

  // Calls `take` with each of the next pieces, `size_bytes` in total. The decoder has checked that there are as many.
  template <typename Take>
  void Next(std::int64_t size_bytes, const Take& take) {
    for (auto left = static_cast<std::size_t>(size_bytes); left > 0;) {
      while (bytes_.empty()) bytes_ = *piece_++;
      const std::span<const std::byte> taken = bytes_.first(std::min(bytes_.size(), left));
      bytes_ = bytes_.subspan(taken.size());
      left -= taken.size();
      take(taken);
    }
  }

 private:
  std::vector<std::span<const std::byte>>::const_iterator piece_;
  std::span<const std::byte> bytes_;  // the rest of the previous piece
};

}  // namespace

absl::Status BrokenProtocol(std::string_view problem) {
  return absl::DataLossError(fmt::format("the server's stream breaks the protocol: {}", problem));
}

Assembler::Assembler(std::vector<ExpectedPart> parts, std::string generation, std::string digest)
    : parts_(std::move(parts)),
      generation_(std::move(generation)),
      digest_(std::move(digest)),
      states_(parts_.size()),
      unconfirmed_(parts_.size()),
      asked_(parts_.size()) {
  results_.reserve(parts_.size());
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const ExpectedPart& part = parts_[i];
    states_[i].next = part.begin;
    expected_bytes_ += part.end - part.begin;
    if (part.sink != nullptr) in_memory_ = false;
  }
  std::iota(asked_.begin(), asked_.end(), std::size_t{0});
}

std::vector<RemainingRange> Assembler::Resume() {
  has_header_ = false;
  announced_ = 0;
  stream_bytes_ = 0;
  stream_confirmed_ = 0;
  completed_.clear();
  asked_.clear();
  if (results_.size() != parts_.size()) results_.clear();  // nothing has arrived
  std::vector<RemainingRange> remaining;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    if (states_[i].confirmed) continue;
    asked_.push_back(i);
    remaining.push_back({i, states_[i].next, parts_[i].end - states_[i].next});
  }
  return remaining;
}

bool Assembler::MustCompare(const v1::StreamHeader& header) const {
  if (received_bytes_ == 0 || header.generation() != generation_) return false;
  return header.instance().empty() || std::ranges::find(instances_, header.instance()) == instances_.end();
}

std::vector<ReceivedRange> Assembler::Received() const {
  std::vector<ReceivedRange> received;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const std::int64_t size = states_[i].next - parts_[i].begin;
    if (size > 0) received.push_back({i, parts_[i].begin, size, states_[i].crc.value()});
  }
  return received;
}

void Assembler::AddEqualInstance(const std::string& instance) {
  instances_.push_back(instance);
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    if (states_[i].next == parts_[i].end && parts_[i].begin < parts_[i].end) Confirm(i);
  }
}

void Assembler::Confirm(std::size_t part) {
  if (std::exchange(states_[part].confirmed, true)) return;
  --unconfirmed_;
  newly_confirmed_.push_back(part);
}

absl::Status Assembler::Add(const wire::DecodedChunk& chunk) {
  // Data for memory is verified while it is copied. A header is trusted only if the checksum of its chunk matches.
  if (chunk.head->has_header()) {
    if (absl::Status status = wire::VerifyChecksum(chunk); !status.ok()) return status;
  }
  if (chunk.head->has_header() == has_header_) {
    return BrokenProtocol(has_header_ ? "a second header" : "it begins without a header");
  }
  if (chunk.head->has_header()) {
    if (absl::Status status = AddHeader(chunk.head->header()); !status.ok()) return status;
  }
  for (const v1::ReadResult& result : chunk.head->results()) {
    if (absl::Status status = AddResult(result); !status.ok()) return status;
  }
  if (absl::Status status = AddData(chunk); !status.ok()) return status;
  return chunk.head->has_confirmed_size_bytes() ? AddConfirmation(chunk.head->confirmed_size_bytes())
                                                : absl::OkStatus();
}

absl::Status Assembler::AddHeader(const v1::StreamHeader& header) {
  has_header_ = true;
  if (header.generation().empty()) return BrokenProtocol("it names no generation");
  if (!generation_.empty() && header.generation() != generation_) {
    return absl::AbortedError(
        fmt::format("the model changed: its generation is {}, not {}", Quote(header.generation()), Quote(generation_)));
  }
  generation_ = header.generation();
  if (!digest_.empty() && header.digest() != digest_) {
    return absl::AbortedError(fmt::format("file {} changed: its digest is {}, not {}", Quote(parts_[0].name),
                                          Quote(header.digest()), Quote(digest_)));
  }
  digest_ = header.digest();
  const auto known = std::ranges::find(instances_, header.instance());
  if (received_bytes_ == 0) {
    instances_ = {header.instance()};
  } else if (known == instances_.end()) {
    return absl::InternalError("bytes of two openings of the files were not compared");
  } else {
    std::rotate(known, known + 1, instances_.end());
  }
  if (header.read_count() != static_cast<std::int64_t>(asked_.size())) {
    return BrokenProtocol(fmt::format("{} reads where {} were requested", header.read_count(), asked_.size()));
  }
  return absl::OkStatus();
}

absl::Status Assembler::AddResult(const v1::ReadResult& result) {
  if (announced_ == asked_.size()) return BrokenProtocol("more results than reads");
  const std::size_t index = asked_[announced_];
  ExpectedPart& part = parts_[index];
  if (result.name() != part.name) {
    return BrokenProtocol(fmt::format("{} where {} was requested", Quote(result.name()), Quote(part.name)));
  }
  if (part.result_bytes && result.size_bytes() != *part.result_bytes) {
    return absl::InvalidArgumentError(fmt::format("the destination for {} has {} bytes, the result {}",
                                                  Quote(part.name), *part.result_bytes, result.size_bytes()));
  }
  const bool choose = part.deferred != nullptr && index == results_.size();
  if (part.end > result.size_bytes() && !choose) {
    return absl::InvalidArgumentError(fmt::format("bytes [{}, {}) exceed {} of {} bytes", part.begin, part.end,
                                                  Quote(part.name), result.size_bytes()));
  }
  const std::optional<Dtype> dtype = part.is_file ? Dtype::kU8 : ParseDtype(result.dtype());
  if (!dtype) {
    return absl::UnimplementedError(
        fmt::format("tensor {}: this version does not support dtype {}", Quote(part.name), Quote(result.dtype())));
  }
  if (!SizeMatches(*dtype, result)) {
    return BrokenProtocol(fmt::format("tensor {} of {} and shape [{}] cannot have {} bytes", Quote(part.name),
                                      DtypeName(*dtype), fmt::join(result.shape(), ", "), result.size_bytes()));
  }
  ReadResult description{.name = result.name(),
                         .dtype = *dtype,
                         .shape = {result.shape().begin(), result.shape().end()},
                         .size_bytes = result.size_bytes()};
  ++announced_;
  if (index == results_.size()) {
    if (choose) {
      if (absl::Status status = ChooseDestination(part, description); !status.ok()) {
        destination_failed_ = true;
        return status;
      }
    }
    results_.push_back(std::move(description));
  } else if (!IsSame(description, results_[index])) {
    return BrokenProtocol(fmt::format("the description of {} changed", Quote(part.name)));
  }
  return absl::OkStatus();
}

absl::Status Assembler::ChooseDestination(ExpectedPart& part, const ReadResult& description) {
  // The range ends with the result. Nothing of it has arrived.
  expected_bytes_ -= part.end - part.begin;
  part.end = std::max(part.begin, std::min(part.end, description.size_bytes));
  expected_bytes_ += part.end - part.begin;
  if (part.result_bytes) return absl::OkStatus();  // chosen in an earlier stream
  const absl::StatusOr<Destination> chosen = (*part.deferred)(description);
  if (!chosen.ok()) return chosen.status();
  if (chosen->size_bytes() != description.size_bytes) {
    return absl::InvalidArgumentError(fmt::format("the destination for {} has {} bytes, the result {}",
                                                  Quote(part.name), chosen->size_bytes(), description.size_bytes));
  }
  part.result_bytes = description.size_bytes;
  part.memory = chosen->memory();
  part.sink = chosen->sink();
  if (part.sink != nullptr) in_memory_ = false;
  return absl::OkStatus();
}

absl::StatusOr<std::size_t> Assembler::PartOf(const v1::Segment& segment) const {
  if (announced_ != asked_.size()) return BrokenProtocol("data before all results are described");
  if (segment.read_index() < 0 || static_cast<std::size_t>(segment.read_index()) >= asked_.size()) {
    return BrokenProtocol(fmt::format("data of read {} where {} were requested", segment.read_index(), asked_.size()));
  }
  const std::size_t index = asked_[static_cast<std::size_t>(segment.read_index())];
  const ExpectedPart& part = parts_[index];
  const std::int64_t next = states_[index].next;
  if (segment.result_offset() != next || segment.size_bytes() > part.end - next) {
    return BrokenProtocol(fmt::format("bytes [{}, {} + {}) of {} where [{}, {}) are missing", segment.result_offset(),
                                      segment.result_offset(), segment.size_bytes(), Quote(part.name), next, part.end));
  }
  return index;
}

absl::Status Assembler::AddData(const wire::DecodedChunk& chunk) {
  const auto& segments = chunk.head->segments();
  if (segments.empty()) return absl::OkStatus();
  crcs_.assign(1, 0);
  std::size_t taken = 0;
  absl::Status status;
  if (in_memory_) {
    status = CopySegments(chunk, taken);
    if (status.ok()) status = wire::CompareChecksum(chunk, crcs_.back());
  } else {
    ReadSegments(chunk);
    status = wire::CompareChecksum(chunk, crcs_.back());
    if (status.ok()) status = WriteSegments(chunk, taken);
  }
  if (!status.ok()) {
    // All bytes of a chunk with a wrong checksum, or that was not taken completely, are still missing.
    for (std::size_t i = 0; i < taken; ++i) {
      const v1::Segment& segment = segments[static_cast<int>(i)];
      states_[asked_[static_cast<std::size_t>(segment.read_index())]].next -= segment.size_bytes();
    }
    return status;
  }
  for (int i = 0; i < segments.size(); ++i) {
    const std::int64_t size_bytes = segments[i].size_bytes();
    const std::size_t part = asked_[static_cast<std::size_t>(segments[i].read_index())];
    const auto crc = crcs_.begin() + i;
    states_[part].crc.Add(crc[0], crc[1], size_bytes);
    stream_bytes_ += size_bytes;
    if (segments[i].result_offset() + size_bytes == parts_[part].end) completed_.emplace_back(stream_bytes_, part);
  }
  received_bytes_ += chunk.data_size_bytes;
  // The other instances were not compared with these bytes.
  if (instances_.size() > 1) instances_.erase(instances_.begin(), instances_.end() - 1);
  return absl::OkStatus();
}

absl::Status Assembler::CopySegments(const wire::DecodedChunk& chunk, std::size_t& taken) {
  const bool streaming = expected_bytes_ >= kMinStreamedBytes;
  PieceCursor pieces(chunk);
  std::uint32_t crc = 0;
  for (const v1::Segment& segment : chunk.head->segments()) {
    const absl::StatusOr<std::size_t> index = PartOf(segment);
    if (!index.ok()) return index.status();
    const ExpectedPart& part = parts_[*index];
    std::int64_t& next = states_[*index].next;
    std::span<std::byte> target = part.memory.subspan(static_cast<std::size_t>(next - part.origin));
    pieces.Next(segment.size_bytes(), [&](std::span<const std::byte> source) {
      crc = streaming ? StreamingMemcpyCrc32c(source, target, crc) : MemcpyCrc32c(source, target, crc);
      target = target.subspan(source.size());
    });
    next += segment.size_bytes();
    ++taken;
    crcs_.push_back(crc);
  }
  return absl::OkStatus();
}

void Assembler::ReadSegments(const wire::DecodedChunk& chunk) {
  PieceCursor pieces(chunk);
  std::uint32_t crc = 0;
  for (const v1::Segment& segment : chunk.head->segments()) {
    pieces.Next(segment.size_bytes(), [&](std::span<const std::byte> piece) { crc = Crc32c(piece, crc); });
    crcs_.push_back(crc);
  }
}

absl::Status Assembler::WriteSegments(const wire::DecodedChunk& chunk, std::size_t& taken) {
  PieceCursor cursor(chunk);
  std::vector<std::span<const std::byte>> pieces;
  for (const v1::Segment& segment : chunk.head->segments()) {
    const absl::StatusOr<std::size_t> index = PartOf(segment);
    if (!index.ok()) return index.status();
    pieces.clear();
    cursor.Next(segment.size_bytes(), [&](std::span<const std::byte> piece) { pieces.push_back(piece); });
    const ExpectedPart& part = parts_[*index];
    std::int64_t& next = states_[*index].next;
    if (part.sink == nullptr) {
      std::span<std::byte> target = part.memory.subspan(static_cast<std::size_t>(next - part.origin));
      for (const std::span<const std::byte> piece : pieces) {
        std::ranges::copy(piece, target.begin());
        target = target.subspan(piece.size());
      }
    } else if (absl::Status status = part.sink->WriteAll(next - part.origin, pieces); !status.ok()) {
      destination_failed_ = true;
      return status;
    }
    next += segment.size_bytes();
    ++taken;
  }
  return absl::OkStatus();
}

absl::Status Assembler::AddConfirmation(std::int64_t confirmed_size_bytes) {
  if (confirmed_size_bytes < stream_confirmed_ || confirmed_size_bytes > stream_bytes_) {
    return BrokenProtocol(fmt::format("it confirms {} bytes after {} and has sent {}", confirmed_size_bytes,
                                      stream_confirmed_, stream_bytes_));
  }
  stream_confirmed_ = confirmed_size_bytes;
  for (; !completed_.empty() && completed_.front().first <= confirmed_size_bytes; completed_.pop_front()) {
    Confirm(completed_.front().second);
  }
  return absl::OkStatus();
}

absl::Status Assembler::Complete() {
  if (!has_header_) return BrokenProtocol("it ended before its header");
  if (announced_ != asked_.size()) return BrokenProtocol("it ended before all results were described");
  for (const std::size_t i : asked_) {
    if (states_[i].next == parts_[i].end) continue;
    return BrokenProtocol(fmt::format("it ended with bytes [{}, {}) of {} missing", states_[i].next, parts_[i].end,
                                      Quote(parts_[i].name)));
  }
  for (const std::size_t i : asked_) Confirm(i);
  return absl::OkStatus();
}

}  // namespace tensorferry
