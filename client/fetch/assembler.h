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

// A part of a read's result that one stream shall bring.
struct ExpectedPart {
  // For messages, and to be found again in the response: the name of the tensor or file, which is the caller's.
  std::string_view name;
  // True if the result is a file's bytes, which have no dtype.
  bool is_file = false;
  // The half-open range of the result. If `deferred`, it ends with the result if that is shorter.
  std::int64_t begin = 0;
  std::int64_t end = 0;
  // The result's size if that is known beforehand.
  std::optional<std::int64_t> result_bytes = std::nullopt;
  // Takes the result's byte `origin` at its own byte 0: memory, or a sink if there is one.
  std::span<std::byte> memory = {};
  Sink* sink = nullptr;
  std::int64_t origin = 0;
  // Chooses where the result goes once it is described, instead of `memory` and `sink`; or null.
  const Destination::Choose* deferred = nullptr;
};

// The missing range of a part, to request from the next stream.
struct RemainingRange {
  std::size_t part = 0;
  // The first byte of the result that is missing.
  std::int64_t begin = 0;
  // 0 if nothing is missing but the server's confirmation.
  std::int64_t size_bytes = 0;
};

// A range of a part that has arrived, with its checksum.
struct ReceivedRange {
  std::size_t part = 0;
  std::int64_t begin = 0;
  std::int64_t size_bytes = 0;
  std::uint32_t crc32c = 0;
};

// Puts the chunks of a stream into their places and validates the stream: every byte of every part arrives once, in
// order, of one generation, described alike. Another stream can continue where one broke off; all that they bring is
// validated together. Does no I/O of its own. Not safe for concurrent use.
class Assembler {
 public:
  // Requires `generation` and `digest` unless they are empty. Names and destinations must outlive this.
  Assembler(std::vector<ExpectedPart> parts, std::string generation, std::string digest);

  // Takes the next chunk. Errors: DATA_LOSS: the stream breaks the protocol; ABORTED: another generation or digest than
  // required, or than earlier streams had; INVALID_ARGUMENT: a destination that is not as large as the result; those of
  // the destinations.
  absl::Status Add(const wire::DecodedChunk& chunk);

  // Checks that the stream, which has ended with OK, brought everything that was requested. Errors: DATA_LOSS, naming
  // what is missing.
  absl::Status Complete();

  // True if every part has arrived and was confirmed.
  bool done() const { return unconfirmed_ == 0; }

  // Forgets the current stream, and returns what to request from the next, in the order that its response must have:
  // every part that is not confirmed. Not empty unless done.
  std::vector<RemainingRange> Resume();

  // The parts that were confirmed since the last call.
  std::vector<std::size_t> TakeConfirmed() { return std::exchange(newly_confirmed_, {}); }

  // True if a stream with this header continues with bytes of other files than those that arrived so far, so that these
  // must be compared first. `header` must be of the required generation.
  bool MustCompare(const v1::StreamHeader& header) const;
  // All bytes that have arrived, to be compared with those of another server.
  std::vector<ReceivedRange> Received() const;
  // They were found equal to those of `instance`, which confirmed them.
  void AddEqualInstance(const std::string& instance);

  // True if a stream has described its results.
  bool begun() const { return begun_; }
  // True if what Add returned is the fault of a destination.
  bool destination_failed() const { return destination_failed_; }
  // Those of all streams together; none counts twice.
  std::int64_t received_bytes() const { return received_bytes_; }
  const std::string& generation() const { return generation_; }
  // An instance that has all bytes that have arrived; empty before the first stream has begun.
  const std::string& instance() const { return instances_.back(); }
  // One for each part, in their order, once all are described.
  const std::vector<ReadResult>& results() const { return results_; }
  // The parts as they are now: with their destinations, once these are chosen.
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
  // Copies the segments into memory and computes checksums in the same pass; `taken` counts them.
  absl::Status CopySegments(const wire::DecodedChunk& chunk, std::size_t& taken);
  // Computes the checksums of the segments.
  void ReadSegments(const wire::DecodedChunk& chunk);
  // Writes the segments of a sound chunk; `taken` counts them.
  absl::Status WriteSegments(const wire::DecodedChunk& chunk, std::size_t& taken);
  // Returns the part that `segment` belongs to. Errors: DATA_LOSS: it is not the next of any part.
  absl::StatusOr<std::size_t> PartOf(const v1::Segment& segment) const;
  void Confirm(std::size_t part);

  std::vector<ExpectedPart> parts_;
  std::string generation_;
  std::string digest_;
  // The instances that have all bytes that have arrived; the last is that of the current stream, or was compared last.
  std::vector<std::string> instances_ = {{}};
  std::vector<ReadResult> results_;  // of as many parts as are described so far
  std::vector<State> states_;
  std::vector<std::size_t> newly_confirmed_;
  // True if all parts go to memory, which takes bytes before their checksum is compared.
  bool in_memory_ = true;
  std::int64_t expected_bytes_ = 0;
  std::size_t unconfirmed_;
  std::int64_t received_bytes_ = 0;
  bool begun_ = false;
  bool destination_failed_ = false;

  // Of the current stream.
  std::vector<std::size_t> asked_;  // the part that each of its reads is
  std::size_t announced_ = 0;       // how many of them it has described
  bool has_header_ = false;
  std::int64_t stream_bytes_ = 0;      // of data that it brought
  std::int64_t stream_confirmed_ = 0;  // of these
  // The parts that it completed, each with the number of bytes that it had brought by then.
  std::deque<std::pair<std::int64_t, std::size_t>> completed_;
  // Of the current chunk: the checksum of the data before each segment, and of all of it.
  std::vector<std::uint32_t> crcs_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_FETCH_ASSEMBLER_H_
