// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_ASSEMBLER_H_
#define TENSORFERRY_CLIENT_ASSEMBLER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/wire/chunk_decoder.h"
#include "tensorferry/destination.h"
#include "tensorferry/fetch.h"

namespace tensorferry {

// A part of a read's result that one stream shall bring.
struct ExpectedPart {
  // For messages, and to be found again in the answer: the name of the tensor or file.
  std::string name;
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

// Puts the chunks of one stream where they belong and holds the stream to its promise: every byte of every part arrives
// once, in order, of one generation, described alike. Knows nothing of networks. Not safe for concurrent use.
class Assembler {
 public:
  // `generation` and `fingerprint` are demanded unless they are empty. The destinations must outlive this.
  Assembler(std::vector<ExpectedPart> parts, std::string generation, std::string fingerprint);

  // Takes the next chunk. Errors: DATA_LOSS: the stream breaks the protocol; ABORTED: another generation or fingerprint
  // than demanded; INVALID_ARGUMENT: a destination that is not as large as the result; those of the destinations.
  absl::Status Add(const wire::DecodedChunk& chunk);

  // Whether everything arrived: to be asked when the stream has ended well. Errors: DATA_LOSS, naming what is missing.
  absl::Status CheckComplete() const;

  const std::string& generation() const { return generation_; }
  // One for each part, in their order.
  const std::vector<ReadResult>& results() const { return results_; }

 private:
  absl::Status AddHeader(const v1::StreamHeader& header);
  absl::Status AddResult(const v1::ReadResult& result);
  absl::Status AddData(const wire::DecodedChunk& chunk);
  // Where `segment` belongs. Errors: DATA_LOSS: it is not the next of any part.
  absl::StatusOr<std::size_t> PartOf(const v1::Segment& segment) const;

  const std::vector<ExpectedPart> parts_;
  std::string generation_;
  const std::string fingerprint_;
  bool has_header_ = false;
  std::vector<ReadResult> results_;
  std::vector<std::int64_t> next_;  // of each part, the first byte that is missing
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_ASSEMBLER_H_
