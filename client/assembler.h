// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_ASSEMBLER_H_
#define TENSORFERRY_CLIENT_ASSEMBLER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lib/wire/chunk_decoder.h"
#include "tensorferry/destination.h"
#include "tensorferry/fetch.h"

namespace tensorferry {

// A part of a read's result that one stream shall bring.
struct ExpectedPart {
  // For messages, and to be found again in the answer: the name of the tensor or file, which is the caller's.
  std::string_view name;
  // Whether the result is a file's bytes, which have no dtype.
  bool is_file = false;
  // The half-open range of the result.
  std::int64_t begin = 0;
  std::int64_t end = 0;
  // The result's size if that is known beforehand.
  std::optional<std::int64_t> result_bytes = std::nullopt;
  // Takes the result's byte `origin` at its own byte 0.
  Destination* destination = nullptr;
  std::int64_t origin = 0;
};

// What a stream that goes on for another has to be asked for of a part.
struct RemainingRange {
  std::size_t part = 0;
  // The first byte of the result that is missing. If nothing is, the result's end: what is asked for is nothing then,
  // but the server's word that the part is sound.
  std::int64_t begin = 0;
  std::int64_t size_bytes = 0;
};

// Puts the chunks of a stream where they belong and holds it to its promise: every byte of every part arrives once, in
// order, of one generation, described alike. Another stream can go on where one broke off; all that they bring is held
// to the same promise together. Knows nothing of networks. Not safe for concurrent use.
class Assembler {
 public:
  // `generation` and `fingerprint` are demanded unless they are empty. Names and destinations must outlive this.
  Assembler(std::vector<ExpectedPart> parts, std::string generation, std::string fingerprint);

  // Takes the next chunk. Errors: DATA_LOSS: the stream breaks the protocol; ABORTED: another generation or fingerprint
  // than demanded, or than streams before had; INVALID_ARGUMENT: a destination that is not as large as the result;
  // those of the destinations.
  absl::Status Add(const wire::DecodedChunk& chunk);

  // Whether the stream brought everything that it was asked for: to be called when it has ended well. Errors:
  // DATA_LOSS, naming what is missing.
  absl::Status Complete();

  // Whether every part has arrived in a stream that ended well, or was confirmed by a later one that did: only the end
  // of a stream says that the files did not change under it.
  bool done() const { return unconfirmed_ == 0; }

  // Forgets the stream that there was, and returns what the next has to be asked for, in the order that its answer must
  // have. Not empty unless done.
  std::vector<RemainingRange> Resume();

  // Whether a stream has said what is coming.
  bool begun() const { return begun_; }
  // Whether what Add returned is the fault of a destination.
  bool destination_failed() const { return destination_failed_; }
  // Those of all streams together; none counts twice.
  std::int64_t received_bytes() const { return received_bytes_; }
  const std::string& generation() const { return generation_; }
  // One for each part, in their order.
  const std::vector<ReadResult>& results() const { return results_; }
  std::vector<ReadResult> TakeResults() && { return std::move(results_); }

 private:
  absl::Status AddHeader(const v1::StreamHeader& header);
  absl::Status AddResult(const v1::ReadResult& result);
  absl::Status AddData(const wire::DecodedChunk& chunk);
  // Puts the chunk's data where it belongs and counts it as received; `taken` is told how many segments, and `crc` the
  // checksum of what went to memory.
  absl::Status TakeSegments(const wire::DecodedChunk& chunk, int& taken, std::uint32_t& crc);
  // Which part `segment` belongs to. Errors: DATA_LOSS: it is not the next of any part.
  absl::StatusOr<std::size_t> PartOf(const v1::Segment& segment) const;

  const std::vector<ExpectedPart> parts_;
  std::string generation_;
  std::string fingerprint_;
  std::vector<ReadResult> results_;  // of as many parts as are described so far
  std::vector<std::int64_t> next_;   // of each part, the first byte that is missing
  std::vector<bool> confirmed_;
  // Whether all of the destinations are memory, which takes bytes before their checksum is compared.
  const bool in_memory_;
  // Whether what was copied is not expected to be in a cache when it is read.
  const bool streaming_;
  std::size_t unconfirmed_;
  std::int64_t received_bytes_ = 0;
  bool begun_ = false;
  bool destination_failed_ = false;

  // Of the stream that there is.
  std::vector<std::size_t> asked_;  // the part that each of its reads is
  std::size_t announced_ = 0;       // how many of them it has described
  bool has_header_ = false;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_ASSEMBLER_H_
