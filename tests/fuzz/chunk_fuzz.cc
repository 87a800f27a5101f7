// SPDX-License-Identifier: Apache-2.0
// The input is a sequence of messages as a server may send them. Two bytes before each message contain its length and
// two flags. The messages are treated as streams of data and as streams of checksums. For every input:
// - The assembler writes inside its destinations only, and never overwrites a byte that has arrived.
// - It reports a fetch as complete, and a part as confirmed, only if every byte was written.
// - It behaves alike with memory, sinks and deferred destinations, and knows the checksum of the bytes that arrived.
// - Bytes agree with a stream of checksums exactly if the stream covers each byte once and has their checksum.
// - A manifest has the checksums of its stream, one for each block.
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/fetch/assembler.h"
#include "client/fetch/checksum_comparison.h"
#include "client/fetch/manifest.h"
#include "lib/checksum/crc32c.h"
#include "lib/checksum/crc32c_combine.h"
#include "lib/wire/chunk_decoder.h"
#include "tensorferry/v1/tensor_service.pb.h"
#include "tests/fuzz/check.h"

namespace tensorferry::fuzz {
namespace {

// The flags: the message keeps the checksum of the input; another stream begins.
constexpr int kFoundChecksum = 0x80;
constexpr int kNewStream = 0x40;

// The parts of the fetch, and the bytes that other servers are expected to have.
constexpr std::array<std::string_view, 2> kNames = {"a", "b"};
constexpr std::array<std::string_view, 2> kBytes = {"aaaa", "bbbbbb"};
constexpr std::size_t kParts = kNames.size();

std::span<const std::byte> BytesOf(std::string_view text) {
  return std::as_bytes(std::span<const char>(text.data(), text.size()));
}

// Records the bytes that were written.
class WatchedSink final : public Sink {
 public:
  explicit WatchedSink(std::size_t size) : written_(size, false), bytes_(size) {}

  std::int64_t size_bytes() const override { return static_cast<std::int64_t>(written_.size()); }
  absl::Status Write(std::int64_t offset, std::span<const std::byte> data) override {
    const auto size = static_cast<std::int64_t>(data.size());
    Check(offset >= 0 && offset <= size_bytes() && size <= size_bytes() - offset, "a write outside the sink");
    Check(offset >= arrived_, "a byte that has arrived is overwritten");
    for (std::size_t i = 0; i < data.size(); ++i) {
      written_[static_cast<std::size_t>(offset) + i] = true;
      bytes_[static_cast<std::size_t>(offset) + i] = data[i];
    }
    return absl::OkStatus();
  }
  absl::Status Finish() override { return absl::OkStatus(); }

  // Records that the first `size_bytes` bytes have arrived.
  void set_arrived(std::int64_t size_bytes) { arrived_ = size_bytes; }
  const std::vector<std::byte>& bytes() const { return bytes_; }
  bool complete() const {
    return std::ranges::all_of(written_, [](bool written) { return written; });
  }

 private:
  std::int64_t arrived_ = 0;
  std::vector<bool> written_;
  std::vector<std::byte> bytes_;
};

// A fetch of all parts, each to memory or to a sink. `deferred`: they are chosen when the result is described.
class Fetch {
 public:
  Fetch(std::array<bool, kParts> to_sink, bool deferred) : to_sink_(to_sink) {
    std::vector<ExpectedPart> parts;
    for (std::size_t i = 0; i < kParts; ++i) {
      choose_[i] = [this, i](const ReadResult&) -> absl::StatusOr<Destination> {
        if (to_sink_[i]) return Destination(&sinks_[i]);
        return Destination(memory_[i]);
      };
      ExpectedPart part{.name = kNames[i], .begin = 0, .end = static_cast<std::int64_t>(kBytes[i].size())};
      if (deferred) {
        part.deferred = &choose_[i];
      } else {
        part.result_bytes = part.end;
        part.memory = memory_[i];
        part.sink = to_sink_[i] ? &sinks_[i] : nullptr;
      }
      parts.push_back(part);
    }
    assembler_.emplace(std::move(parts), "", "");
  }
  Fetch(const Fetch&) = delete;
  Fetch& operator=(const Fetch&) = delete;

  // Takes a chunk as a fetch does. Ends a stream whose instance must be compared first, and treats its bytes as equal.
  absl::Status Add(const wire::DecodedChunk& chunk) {
    if (chunk.head->has_header() && assembler_->MustCompare(chunk.head->header())) {
      const std::string& instance = chunk.head->header().instance();
      if (!wire::VerifyChecksum(chunk).ok() || instance.empty()) return absl::DataLossError("the stream is broken");
      assembler_->AddEqualInstance(instance);
      CheckState();
      Check(!assembler_->MustCompare(chunk.head->header()), "an instance must be compared twice");
      return absl::CancelledError("the stream was ended");
    }
    const std::int64_t before = assembler_->received_bytes();
    absl::Status status = assembler_->Add(chunk);
    Check(assembler_->received_bytes() >= before, "bytes that had arrived are lost");
    CheckState();
    return status;
  }

  // Returns the destination of a part.
  const std::vector<std::byte>& bytes(std::size_t part) const {
    return to_sink_[part] ? sinks_[part].bytes() : memory_[part];
  }

  // Returns true if all bytes of all sinks were written.
  bool complete() const {
    for (std::size_t i = 0; i < kParts; ++i) {
      if (to_sink_[i] && !sinks_[i].complete()) return false;
    }
    return true;
  }

  // Checks the invariants, and records the parts that were confirmed since the last call.
  void CheckState() {
    std::int64_t total = 0;
    std::vector<std::int64_t> arrived(kParts, 0);
    for (const ReceivedRange& range : assembler_->Received()) {
      Check(range.part < kParts && range.begin == 0 && range.size_bytes > 0, "a range that is none");
      const std::span<const std::byte> all = bytes(range.part);
      Check(range.size_bytes <= static_cast<std::int64_t>(all.size()), "more bytes than there are");
      Check(Crc32c(all.first(static_cast<std::size_t>(range.size_bytes))) == range.crc32c,
            "another checksum than that of the bytes that arrived");
      Check(std::exchange(arrived[range.part], range.size_bytes) == 0, "a part twice");
      total += range.size_bytes;
    }
    Check(total == assembler_->received_bytes(), "a wrong number of bytes");
    for (std::size_t i = 0; i < kParts; ++i) {
      Check(arrived[i] >= arrived_[i], "fewer bytes than before");
      sinks_[i].set_arrived(arrived[i]);
    }
    arrived_ = std::move(arrived);
    for (const std::size_t part : assembler_->TakeConfirmed()) {
      Check(part < kParts && !std::exchange(confirmed_[part], true), "a part is confirmed twice");
      Check(arrived_[part] == static_cast<std::int64_t>(kBytes[part].size()), "a part is confirmed that is missing");
      Check(!to_sink_[part] || sinks_[part].complete(), "a part is confirmed that was not written");
    }
    Check(assembler_->done() == std::ranges::all_of(confirmed_, [](bool confirmed) { return confirmed; }),
          "done is not the same as confirmed");
  }

  Assembler& assembler() { return *assembler_; }
  const std::array<bool, kParts>& confirmed() const { return confirmed_; }

 private:
  const std::array<bool, kParts> to_sink_;
  std::array<WatchedSink, kParts> sinks_ = {WatchedSink(kBytes[0].size()), WatchedSink(kBytes[1].size())};
  std::array<std::vector<std::byte>, kParts> memory_ = {std::vector<std::byte>(kBytes[0].size()),
                                                        std::vector<std::byte>(kBytes[1].size())};
  std::array<Destination::Choose, kParts> choose_;
  std::optional<Assembler> assembler_;
  std::vector<std::int64_t> arrived_ = std::vector<std::int64_t>(kParts, 0);
  std::array<bool, kParts> confirmed_ = {};
};

// The same fetch to several kinds of destinations, which must behave alike.
class Fetches {
 public:
  void Add(const wire::DecodedChunk& chunk) {
    if (broken_) return;
    const std::array<bool, kParts> confirmed_before = sinks_.confirmed();
    absl::Status status = sinks_.Add(chunk);
    broken_ = !status.ok();
    failed_ = absl::IsInvalidArgument(status);
    if (!broken_) CheckConfirmations(chunk, confirmed_before);
    for (Fetch* fetch : others_) {
      status = fetch->Add(chunk);
      Check(status.ok() != broken_, "some destinations accept a chunk that others refuse");
      failed_ = failed_ || absl::IsInvalidArgument(status);
      Compare(*fetch);
    }
  }

  void Break() { broken_ = true; }

  // Begins another stream, for the missing ranges, unless a destination caused the error.
  void Resume() {
    if (failed_) return;
    broken_ = false;
    stream_bytes_ = 0;
    stream_confirmed_ = 0;
    ends_ = {};
    asked_.clear();
    const std::vector<RemainingRange> remaining = sinks_.assembler().Resume();
    for (const RemainingRange& range : remaining) asked_.push_back(range.part);
    Check(remaining.empty() == sinks_.assembler().done(), "the missing ranges contradict done()");
    for (Fetch* fetch : others_) {
      Check(std::ranges::equal(remaining, fetch->assembler().Resume(),
                               [](const RemainingRange& a, const RemainingRange& b) {
                                 return a.part == b.part && a.begin == b.begin && a.size_bytes == b.size_bytes;
                               }),
            "other bytes are missing");
      Compare(*fetch);
    }
  }

  // Ends the stream with OK.
  void End() {
    if (broken_) return;
    const bool complete = sinks_.assembler().Complete().ok();
    sinks_.CheckState();
    Check(!complete || (sinks_.assembler().done() && sinks_.complete()), "complete without every byte");
    for (Fetch* fetch : others_) {
      Check(fetch->assembler().Complete().ok() == complete, "complete for some destinations only");
      fetch->CheckState();
      Compare(*fetch);
      for (std::size_t i = 0; complete && i < kParts; ++i) {
        Check(fetch->bytes(i) == sinks_.bytes(i), "other bytes than those in the sinks");
      }
    }
  }

 private:
  // Checks that exactly those parts are confirmed whose last bytes in this stream are confirmed.
  void CheckConfirmations(const wire::DecodedChunk& chunk, const std::array<bool, kParts>& confirmed_before) {
    for (const v1::Segment& segment : chunk.head->segments()) {
      const std::size_t part = asked_.at(static_cast<std::size_t>(segment.read_index()));
      stream_bytes_ += segment.size_bytes();
      const std::int64_t end = segment.result_offset() + segment.size_bytes();
      if (end == static_cast<std::int64_t>(kBytes.at(part).size())) ends_[part] = stream_bytes_;
    }
    if (chunk.head->has_confirmed_size_bytes()) {
      const std::int64_t confirmed = chunk.head->confirmed_size_bytes();
      Check(confirmed >= stream_confirmed_ && confirmed <= stream_bytes_, "confirmed less than before, or too much");
      stream_confirmed_ = confirmed;
    }
    for (std::size_t i = 0; i < kParts; ++i) {
      const bool ended = ends_[i] && *ends_[i] <= stream_confirmed_;
      Check(sinks_.confirmed()[i] == (confirmed_before[i] || ended), "another part than the server confirmed");
    }
  }

  void Compare(Fetch& fetch) {
    Check(fetch.assembler().received_bytes() == sinks_.assembler().received_bytes(), "another number of bytes");
    Check(fetch.confirmed() == sinks_.confirmed(), "other parts are confirmed");
    Check(fetch.assembler().generation() == sinks_.assembler().generation(), "another generation");
    Check(fetch.assembler().instance() == sinks_.assembler().instance(), "another instance");
  }

  Fetch sinks_{{true, true}, /*deferred=*/false};
  Fetch memory_{{false, false}, /*deferred=*/false};
  Fetch mixed_{{false, true}, /*deferred=*/false};
  Fetch deferred_{{true, false}, /*deferred=*/true};
  const std::array<Fetch*, 3> others_ = {&memory_, &mixed_, &deferred_};
  bool failed_ = false;  // true if a destination caused an error

  // The state of the stream.
  bool broken_ = false;
  std::vector<std::size_t> asked_ = {0, 1};  // the part of each of its reads
  std::int64_t stream_bytes_ = 0;
  std::int64_t stream_confirmed_ = 0;
  std::array<std::optional<std::int64_t>, kParts> ends_;  // the end of each part in its data
};

// A comparison with the parts' bytes, and its expected outcome.
class Comparison {
 public:
  void Add(const wire::DecodedChunk& chunk) {
    if (broken_) return;
    broken_ = !comparison_.Add(chunk).ok();
    if (broken_) return;
    std::int64_t size_bytes = 0;
    for (const v1::Segment& segment : chunk.head->segments()) {
      const auto read = static_cast<std::size_t>(segment.read_index());
      Check(segment.read_index() >= 0 && read < kParts, "a read that does not exist");
      if (order_.empty() || order_.back() != read) order_.push_back(read);
      Check(segment.result_offset() == covered_[read], "a segment that does not follow");
      covered_[read] += segment.size_bytes();
      Check(covered_[read] <= static_cast<std::int64_t>(kBytes[read].size()), "a segment beyond the end");
      size_bytes += segment.size_bytes();
    }
    if (size_bytes > 0) theirs_ = Crc32cCombine(theirs_, chunk.head->crc32c(), size_bytes);
  }

  void Break() { broken_ = true; }

  // Ends the stream with OK.
  void End() const {
    if (broken_) return;
    bool covered = true;
    for (std::size_t i = 0; i < kParts; ++i) {
      covered = covered && covered_[i] == static_cast<std::int64_t>(kBytes[i].size());
    }
    std::string ours;
    for (const std::size_t read : order_) ours += kBytes[read];
    const bool equal = covered && order_.size() == kParts && Crc32c(BytesOf(ours)) == theirs_;
    Check(comparison_.Complete().ok() == equal, "agrees with other bytes, or not with its own");
  }

 private:
  static std::vector<ReceivedRange> Received() {
    std::vector<ReceivedRange> received;
    for (std::size_t i = 0; i < kParts; ++i) {
      received.push_back({i, 0, static_cast<std::int64_t>(kBytes[i].size()), Crc32c(BytesOf(kBytes[i]))});
    }
    return received;
  }

  ChecksumComparison comparison_{Received(), "g"};
  std::array<std::int64_t, kParts> covered_ = {};
  std::vector<std::size_t> order_;  // the order of the reads in the stream
  std::uint32_t theirs_ = 0;
  bool broken_ = false;
};

// A manifest that is being built, and its expected checksums.
class Manifest {
 public:
  void Add(const wire::DecodedChunk& chunk) {
    if (broken_) return;
    broken_ = !builder_.Add(chunk).ok();
    if (broken_ || chunk.head->segments().empty()) return;
    Check(chunk.head->segments_size() == 1, "several segments for one checksum");
    Check(chunk.head->segments(0).result_offset() ==
              static_cast<std::int64_t>(checksums_.size()) * FileManifest::kBlockBytes,
          "a block that does not follow");
    checksums_.push_back(chunk.head->crc32c());
  }

  void Break() { broken_ = true; }

  // Ends the stream with OK.
  void End() && {
    if (broken_) return;
    const absl::StatusOr<FileManifest> manifest = std::move(builder_).Complete();
    if (!manifest.ok()) return;
    const std::int64_t size = manifest->size_bytes;
    Check(size >= 0, "a negative size");
    const std::int64_t blocks = size / FileManifest::kBlockBytes + (size % FileManifest::kBlockBytes != 0 ? 1 : 0);
    Check(static_cast<std::int64_t>(manifest->block_crc32c.size()) == blocks, "not one checksum for each block");
    Check(manifest->block_crc32c == checksums_, "other checksums than were sent");
  }

 private:
  ManifestBuilder builder_;
  std::vector<std::uint32_t> checksums_;
  bool broken_ = false;
};

// Returns the right checksum of a message: that of its data or, without data, that of the parts' bytes.
std::uint32_t ChecksumOf(const v1::Chunk& chunk) {
  if (!chunk.data().empty()) return Crc32c(BytesOf(std::string_view(chunk.data())));
  std::uint32_t crc = 0;
  for (const v1::Segment& segment : chunk.segments()) {
    if (segment.read_index() < 0 || segment.read_index() >= static_cast<std::int64_t>(kParts)) continue;
    const std::string_view bytes = kBytes[static_cast<std::size_t>(segment.read_index())];
    const auto size = static_cast<std::int64_t>(bytes.size());
    const std::int64_t offset = std::clamp(segment.result_offset(), std::int64_t{0}, size);
    const std::int64_t taken = std::clamp(segment.size_bytes(), std::int64_t{0}, size - offset);
    crc = Crc32c(BytesOf(bytes.substr(static_cast<std::size_t>(offset), static_cast<std::size_t>(taken))), crc);
  }
  return crc;
}

// Sets the right checksum, which a fuzzer does not find. Keeps the rest of the message.
std::string WithChecksum(const std::string& bytes) {
  v1::GetTensorsResponse response;
  if (!response.ParseFromString(bytes) || !response.has_chunk()) return bytes;
  response.mutable_chunk()->set_crc32c(ChecksumOf(response.chunk()));
  return response.SerializeAsString();
}

}  // namespace
}  // namespace tensorferry::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* input, std::size_t size) {
  using namespace tensorferry;  // NOLINT
  fuzz::Fetches fetches;
  auto comparison = std::make_unique<fuzz::Comparison>();
  auto manifest = std::make_unique<fuzz::Manifest>();
  while (size >= 2) {
    const int flags = input[1];
    const std::size_t length = std::min(input[0] + std::size_t{256} * (input[1] & 0x3f), size - 2);
    std::string bytes(reinterpret_cast<const char*>(input) + 2, length);
    input += 2 + length;
    size -= 2 + length;
    if ((flags & fuzz::kFoundChecksum) == 0) bytes = fuzz::WithChecksum(bytes);
    if ((flags & fuzz::kNewStream) != 0) {
      fetches.Resume();
      comparison->End();
      comparison = std::make_unique<fuzz::Comparison>();
      std::move(*manifest).End();
      manifest = std::make_unique<fuzz::Manifest>();
    }
    const std::size_t cut = bytes.size() / 3;
    const grpc::Slice slices[] = {grpc::Slice(bytes.data(), cut), grpc::Slice(bytes.data() + cut, bytes.size() - cut)};
    grpc::ByteBuffer message(slices, 2);
    if (const absl::StatusOr<wire::DecodedChunk> chunk = wire::DecodeChunk(message); chunk.ok()) {
      fetches.Add(*chunk);
    } else {
      fetches.Break();
    }
    const absl::StatusOr<wire::DecodedChunk> checksums = wire::DecodeChunk(message, wire::StreamContent::kChecksums);
    if (checksums.ok()) {
      comparison->Add(*checksums);
      manifest->Add(*checksums);
    } else {
      comparison->Break();
      manifest->Break();
    }
  }
  fetches.End();
  comparison->End();
  std::move(*manifest).End();
  return 0;
}
