// SPDX-License-Identifier: Apache-2.0
#include "client/assembler.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "client/checked_copy.h"
#include "lib/tensor/checked_math.h"
#include "tensorferry/quote.h"

namespace tensorferry {
namespace {

// What fewer bytes bring may be in a cache when it is read.
constexpr std::int64_t kMinStreamedBytes = std::int64_t{1} << 20;

absl::Status BrokenProtocol(std::string_view what) {
  return absl::DataLossError(fmt::format("the server's stream is broken: {}", what));
}

// The shape and dtype that a result claims must make up its size; only a whole number of bytes can.
bool SizeMatches(Dtype dtype, const v1::ReadResult& result) {
  const std::optional<std::uint64_t> bits =
      CheckedBits(dtype, {result.shape().data(), static_cast<std::size_t>(result.shape_size())});
  return bits && *bits % 8 == 0 && *bits / 8 == static_cast<std::uint64_t>(result.size_bytes());
}

bool IsSame(const ReadResult& a, const ReadResult& b) {
  return a.name == b.name && a.dtype == b.dtype && a.shape == b.shape && a.size_bytes == b.size_bytes;
}

bool AreInMemory(const std::vector<ExpectedPart>& parts) {
  return std::ranges::none_of(
      parts, [](const ExpectedPart& part) { return part.begin < part.end && part.destination->memory().empty(); });
}

std::int64_t TotalBytes(const std::vector<ExpectedPart>& parts) {
  std::int64_t total = 0;
  for (const ExpectedPart& part : parts) total += part.end - part.begin;
  return total;
}

}  // namespace

Assembler::Assembler(std::vector<ExpectedPart> parts, std::string generation, std::string fingerprint)
    : parts_(std::move(parts)),
      generation_(std::move(generation)),
      fingerprint_(std::move(fingerprint)),
      confirmed_(parts_.size(), false),
      in_memory_(AreInMemory(parts_)),
      streaming_(TotalBytes(parts_) >= kMinStreamedBytes),
      unconfirmed_(parts_.size()),
      asked_(parts_.size()) {
  results_.reserve(parts_.size());
  next_.reserve(parts_.size());
  for (const ExpectedPart& part : parts_) next_.push_back(part.begin);
  std::iota(asked_.begin(), asked_.end(), std::size_t{0});
}

std::vector<RemainingRange> Assembler::Resume() {
  has_header_ = false;
  announced_ = 0;
  asked_.clear();
  const bool described = results_.size() == parts_.size();
  if (!described) results_.clear();  // and nothing has arrived
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    if (!described || next_[i] < parts_[i].end) asked_.push_back(i);
  }
  std::vector<RemainingRange> remaining;
  for (const std::size_t i : asked_) remaining.push_back({i, next_[i], parts_[i].end - next_[i]});
  if (!asked_.empty()) return remaining;
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    if (confirmed_[i]) continue;
    asked_.push_back(i);
    remaining.push_back({i, results_[i].size_bytes, 0});
  }
  return remaining;
}

absl::Status Assembler::Add(const wire::DecodedChunk& chunk) {
  // Data that goes to memory is checked on its way, but what the stream is about is believed only if all is sound.
  if (!in_memory_ || chunk.head->has_header()) {
    if (absl::Status status = wire::VerifyChecksum(chunk); !status.ok()) return status;
  }
  if (chunk.head->has_header() == has_header_) {
    return BrokenProtocol(has_header_ ? "a second header" : "it does not begin with a header");
  }
  if (chunk.head->has_header()) {
    if (absl::Status status = AddHeader(chunk.head->header()); !status.ok()) return status;
  }
  for (const v1::ReadResult& result : chunk.head->results()) {
    if (absl::Status status = AddResult(result); !status.ok()) return status;
  }
  return AddData(chunk);
}

absl::Status Assembler::AddHeader(const v1::StreamHeader& header) {
  has_header_ = true;
  if (header.generation().empty()) return BrokenProtocol("it names no generation");
  if (!generation_.empty() && header.generation() != generation_) {
    return absl::AbortedError(fmt::format("the model changed: it is of generation {}, not of {}",
                                          Quote(header.generation()), Quote(generation_)));
  }
  generation_ = header.generation();
  if (!fingerprint_.empty() && header.fingerprint() != fingerprint_) {
    return absl::AbortedError(fmt::format("file {} changed: its fingerprint is {}, not {}", Quote(parts_[0].name),
                                          Quote(header.fingerprint()), Quote(fingerprint_)));
  }
  fingerprint_ = header.fingerprint();
  begun_ = true;
  if (header.read_count() != static_cast<std::int64_t>(asked_.size())) {
    return BrokenProtocol(fmt::format("it answers {} reads, {} were asked for", header.read_count(), asked_.size()));
  }
  return absl::OkStatus();
}

absl::Status Assembler::AddResult(const v1::ReadResult& result) {
  if (announced_ == asked_.size()) return BrokenProtocol("more results than reads");
  const std::size_t index = asked_[announced_++];
  const ExpectedPart& part = parts_[index];
  if (result.name() != part.name) {
    return BrokenProtocol(fmt::format("{} where {} was asked for", Quote(result.name()), Quote(part.name)));
  }
  if (part.result_bytes && result.size_bytes() != *part.result_bytes) {
    return absl::InvalidArgumentError(fmt::format("the destination for {} has {} bytes, the result {}",
                                                  Quote(part.name), *part.result_bytes, result.size_bytes()));
  }
  if (part.end > result.size_bytes()) {
    return absl::InvalidArgumentError(fmt::format("bytes [{}, {}) exceed {} of {} bytes", part.begin, part.end,
                                                  Quote(part.name), result.size_bytes()));
  }
  const std::optional<Dtype> dtype = part.is_file ? Dtype::kU8 : ParseDtype(result.dtype());
  if (!dtype) return BrokenProtocol(fmt::format("tensor {} has dtype {}", Quote(part.name), Quote(result.dtype())));
  if (!SizeMatches(*dtype, result)) {
    return BrokenProtocol(fmt::format("tensor {} of {} and shape [{}] cannot have {} bytes", Quote(part.name),
                                      DtypeName(*dtype), fmt::join(result.shape(), ", "), result.size_bytes()));
  }
  ReadResult description{.name = result.name(),
                         .dtype = *dtype,
                         .shape = {result.shape().begin(), result.shape().end()},
                         .size_bytes = result.size_bytes()};
  if (index == results_.size()) {
    results_.push_back(std::move(description));
  } else if (!IsSame(description, results_[index])) {
    return BrokenProtocol(fmt::format("{} is not what it was before", Quote(part.name)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::size_t> Assembler::PartOf(const v1::Segment& segment) const {
  if (announced_ != asked_.size()) return BrokenProtocol("data before all results were announced");
  if (segment.read() < 0 || static_cast<std::size_t>(segment.read()) >= asked_.size()) {
    return BrokenProtocol(fmt::format("data of read {}, {} were asked for", segment.read(), asked_.size()));
  }
  const std::size_t index = asked_[static_cast<std::size_t>(segment.read())];
  const ExpectedPart& part = parts_[index];
  if (segment.result_offset() != next_[index] || segment.size_bytes() > part.end - next_[index]) {
    return BrokenProtocol(fmt::format("bytes [{}, {} + {}) of {} where [{}, {}) are missing", segment.result_offset(),
                                      segment.result_offset(), segment.size_bytes(), Quote(part.name), next_[index],
                                      part.end));
  }
  return index;
}

absl::Status Assembler::AddData(const wire::DecodedChunk& chunk) {
  int taken = 0;
  std::uint32_t crc = 0;
  absl::Status status = TakeSegments(chunk, taken, crc);
  if (!in_memory_) return status;
  if (status.ok()) status = wire::CompareChecksum(chunk, crc);
  if (status.ok()) return status;
  // Nobody knows what it was: it is missing still.
  for (int i = 0; i < taken; ++i) {
    const v1::Segment& segment = chunk.head->segments(i);
    next_[asked_[static_cast<std::size_t>(segment.read())]] -= segment.size_bytes();
    received_bytes_ -= segment.size_bytes();
  }
  return status;
}

absl::Status Assembler::TakeSegments(const wire::DecodedChunk& chunk, int& taken, std::uint32_t& crc) {
  auto piece = chunk.data.begin();
  std::span<const std::byte> bytes;
  std::vector<std::span<const std::byte>> pieces;
  for (; taken < chunk.head->segments_size(); ++taken) {
    const v1::Segment& segment = chunk.head->segments(taken);
    const absl::StatusOr<std::size_t> index = PartOf(segment);
    if (!index.ok()) return index.status();
    pieces.clear();
    for (auto left = static_cast<std::size_t>(segment.size_bytes()); left > 0;) {
      while (bytes.empty()) bytes = *piece++;  // the decoder made sure that the segments cover the data exactly
      pieces.push_back(bytes.first(std::min(bytes.size(), left)));
      bytes = bytes.subspan(pieces.back().size());
      left -= pieces.back().size();
    }
    const ExpectedPart& part = parts_[*index];
    std::int64_t& next = next_[*index];
    if (std::span<std::byte> target = part.destination->memory(); !target.empty()) {
      target = target.subspan(static_cast<std::size_t>(next - part.origin));
      for (const std::span<const std::byte> source : pieces) {
        crc = streaming_ ? CheckedStreamingCopy(source, target, crc) : CheckedCopy(source, target, crc);
        target = target.subspan(source.size());
      }
    } else if (absl::Status status = part.destination->WriteAll(next - part.origin, pieces); !status.ok()) {
      destination_failed_ = true;
      return status;
    }
    next += segment.size_bytes();
    received_bytes_ += segment.size_bytes();
  }
  return absl::OkStatus();
}

absl::Status Assembler::Complete() {
  if (!has_header_) return BrokenProtocol("it ended before its header");
  if (announced_ != asked_.size()) return BrokenProtocol("it ended before all results were announced");
  for (const std::size_t i : asked_) {
    if (next_[i] == parts_[i].end) continue;
    return BrokenProtocol(
        fmt::format("it ended with bytes [{}, {}) of {} missing", next_[i], parts_[i].end, Quote(parts_[i].name)));
  }
  for (const std::size_t i : asked_) confirmed_[i] = true;
  unconfirmed_ -= asked_.size();
  return absl::OkStatus();
}

}  // namespace tensorferry
