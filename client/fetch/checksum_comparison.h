// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_FETCH_CHECKSUM_COMPARISON_H_
#define TENSORFERRY_CLIENT_FETCH_CHECKSUM_COMPARISON_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/fetch/assembler.h"
#include "lib/wire/chunk_decoder.h"

namespace tensorferry {

// Compares bytes that have arrived with the checksums in a stream of another server. Not safe for concurrent use.
class ChecksumComparison {
 public:
  // `received` must be in the order of the request.
  ChecksumComparison(std::vector<ReceivedRange> received, std::string generation)
      : received_(std::move(received)), generation_(std::move(generation)) {}

  // Takes the next chunk. Errors: DATA_LOSS: the stream breaks the protocol; ABORTED: its generation is not
  // `generation`.
  absl::Status Add(const wire::DecodedChunk& chunk);

  // Returns OK if the bytes are equal. To be called when the stream has ended with OK. Errors: ABORTED: the bytes
  // differ; DATA_LOSS: the stream did not cover all of them.
  absl::Status Complete() const;

 private:
  absl::Status AddSegment(const v1::Segment& segment);

  const std::vector<ReceivedRange> received_;
  const std::string generation_;
  std::vector<bool> covered_ = std::vector<bool>(received_.size(), false);
  std::size_t uncovered_ = received_.size();
  std::optional<std::size_t> current_;  // the range of the last segment, unless it is covered
  std::int64_t current_end_ = 0;        // the end of its segments so far
  // The checksums of all ranges, in the order of the stream.
  std::uint32_t ours_ = 0;
  std::uint32_t theirs_ = 0;
  bool has_header_ = false;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_FETCH_CHECKSUM_COMPARISON_H_
