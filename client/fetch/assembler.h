// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_FETCH_ASSEMBLER_H_
#define TENSORFERRY_CLIENT_FETCH_ASSEMBLER_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/fetch/running_crc.h"
#include "lib/wire/chunk_decoder.h"
#include "tensorferry/destination.h"
#include "tensorferry/fetch.h"

namespace tensorferry {

// A part of a read's result, which one stream is to bring.
struct ExpectedPart {
  // The name of the tensor or file, for messages and to validate the response. Owned by the caller.
  std::string_view name;
  // True if the result is a file's bytes, which have no dtype.
  bool is_file = false;
  // The half-open range of the result. If `deferred` is set and the result is shorter, the range ends with the result.
  std::int64_t begin = 0;
  std::int64_t end = 0;
  // The result's size, if it is known before the stream begins.
  std::optional<std::int64_t> result_bytes = std::nullopt;
  // The destination: `sink` unless it is null, otherwise `memory`. Its first byte takes the result's byte `origin`.
  std::span<std::byte> memory = {};
  Sink* sink = nullptr;
  std::int64_t origin = 0;
  // Chooses the destination when the result is described, instead of `memory` and `sink`. Null if there is no choice.
  const Destination::Choose* deferred = nullptr;
};

// The missing range of a part, to request from the next stream.
struct RemainingRange {
  std::size_t part = 0;
  // The first byte of the result that is missing.
  std::int64_t begin = 0;
  // 0 if only the server's confirmation is missing.
  std::int64_t size_bytes = 0;
};

// A range of a part that has arrived, with its checksum.
struct ReceivedRange {
  std::size_t part = 0;
  std::int64_t begin = 0;
  std::int64_t size_bytes = 0;
  std::uint32_t crc32c = 0;
};

// Returns DATA_LOSS: the server's stream breaks the protocol. `problem` completes the message.
absl::Status BrokenProtocol(std::string_view problem);

// Copies the chunks of a stream to their destinations and validates the stream. Every byte of every part must arrive
// once, in order, of one generation, and with the same description. Another stream can resume where one broke off, and
// is validated together with it. Does no I/O of its own. Not safe for concurrent use.
class Assembler {
 public:
  // Requires `generation` and `digest` of the streams, unless they are empty. Names and destinations must outlive this
  // object.
  Assembler(std::vector<ExpectedPart> parts, std::string generation, std::string digest);

  // Takes the next chunk. Errors: DATA_LOSS: the stream breaks the protocol; ABORTED: its generation or digest is not
  // the required one or that of the earlier streams; INVALID_ARGUMENT: a destination is not as large as the result;
  // those of the destinations.
  absl::Status Add(const wire::DecodedChunk& chunk);

  // Checks that the stream, which has ended with OK, brought everything that was requested. Errors: DATA_LOSS:
  // something is missing.
  absl::Status Complete();

  // Returns true if every part has arrived and was confirmed.
  bool done() const { return unconfirmed_ == 0; }

  // Forgets the current stream. Returns the ranges to request from the next one, in the order of its response: those of
  // every part that is not confirmed. Not empty unless done() is true.
  std::vector<RemainingRange> Resume();

  // Returns the parts that were confirmed since the last call.
  std::vector<std::size_t> TakeConfirmed() { return std::exchange(newly_confirmed_, {}); }

  // Returns true if a stream with this header would add bytes of another opening of the files, so that all bytes that
  // have arrived must be compared first. `header` must be of the required generation.
  bool MustCompare(const v1::StreamHeader& header) const;
  // Returns all ranges that have arrived, to compare them with another server.
  std::vector<ReceivedRange> Received() const;
  // Records that the bytes that have arrived are equal to those of `instance`, which confirmed them.
  void AddEqualInstance(const std::string& instance);

  // Returns true if a destination caused the error that Add returned.
  bool destination_failed() const { return destination_failed_; }
  // Returns the bytes of all streams together. Each counts once.
  std::int64_t received_bytes() const { return received_bytes_; }
  const std::string& generation() const { return generation_; }
  // Returns an instance that has all bytes that have arrived. Empty before the first stream has begun.
  const std::string& instance() const { return instances_.back(); }
  // Returns the description of each part's result, once all are described.
  const std::vector<ReadResult>& results() const { return results_; }
  // Returns the parts. They have their destinations once these are chosen.
  std::span<const ExpectedPart> parts() const { return parts_; }

 private:
  // The progress of a part.
  struct State {
    std::int64_t next = 0;  // the first byte that is missing
    RunningCrc crc;         // of the bytes before it
    bool confirmed = false;
  };

  absl::Status AddHeader(const v1::StreamHeader& header);
  absl::Status AddResult(const v1::ReadResult& result);
  absl::Status ChooseDestination(ExpectedPart& part, const ReadResult& description);
  absl::Status AddData(const wire::DecodedChunk& chunk);
  absl::Status AddConfirmation(std::int64_t confirmed_size_bytes);
  // Copies the segments into memory and computes checksums in the same pass. `taken` counts the segments.
  absl::Status CopySegments(const wire::DecodedChunk& chunk, std::size_t& taken);
  // Computes the checksums of the segments.
  void ReadSegments(const wire::DecodedChunk& chunk);
  // Writes the segments of a chunk whose checksum matched. `taken` counts the segments.
  absl::Status WriteSegments(const wire::DecodedChunk& chunk, std::size_t& taken);
  // Returns the part of `segment`. Errors: DATA_LOSS: it is not the next segment of any part.
  absl::StatusOr<std::size_t> PartOf(const v1::Segment& segment) const;
  void Confirm(std::size_t part);

  std::vector<ExpectedPart> parts_;
  std::string generation_;
  std::string digest_;
  // The instances that have all bytes that have arrived. The last one is that of the current stream, or was compared
  // last.
  std::vector<std::string> instances_ = {{}};
  std::vector<ReadResult> results_;  // of the parts that are described so far
  std::vector<State> states_;
  std::vector<std::size_t> newly_confirmed_;
  // True if all parts go to memory, which takes bytes before their checksum is compared.
  bool in_memory_ = true;
  std::int64_t expected_bytes_ = 0;
  std::size_t unconfirmed_;
  std::int64_t received_bytes_ = 0;
  bool destination_failed_ = false;

  // The state of the current stream.
  std::vector<std::size_t> asked_;  // the part of each of its reads
  std::size_t announced_ = 0;       // the number of reads that it has described
  bool has_header_ = false;
  std::int64_t stream_bytes_ = 0;      // the data that it brought
  std::int64_t stream_confirmed_ = 0;  // the part of that data that it confirmed
  // The parts that it completed, each with the value of stream_bytes_ at that time.
  std::deque<std::pair<std::int64_t, std::size_t>> completed_;
  // The checksums of the current chunk: of its data before each segment, and of all its data.
  std::vector<std::uint32_t> crcs_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_FETCH_ASSEMBLER_H_
