// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_DESTINATION_H_
#define TENSORFERRY_DESTINATION_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <ranges>
#include <span>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tensorferry {

// The limits for the waits of a sink: the deadline of the fetch (DEADLINE_EXCEEDED), and its stop (CANCELLED).
struct FetchLimits {
  absl::Time deadline = absl::InfiniteFuture();
  std::stop_token stop_token = {};
};

// Accepts the bytes of one result at any offset. Files, pipes and device memory implement it.
//
// A fetch calls Begin once, then writes each byte at least once, and then calls Finish once. It writes only bytes whose
// checksum matched. A fetch that fails after Begin calls Abandon at the end. With several connections, several threads
// write at the same time, but never to overlapping ranges. None of these functions may throw.
class Sink {
 public:
  virtual ~Sink() = default;

  // Returns the size in bytes, which must be that of the result.
  virtual std::int64_t size_bytes() const = 0;

  // Begins a fetch. Write and Finish may wait within `limits` only. An error ends the fetch, which returns it.
  virtual absl::Status Begin(const FetchLimits& limits);

  // Writes `data`, which is valid only during the call, at `offset`. The range is inside the sink. An error ends the
  // fetch, which returns it.
  virtual absl::Status Write(std::int64_t offset, std::span<const std::byte> data) = 0;

  // Writes several pieces of data one after the other, for sinks in which each call is expensive. By default calls
  // Write for each piece.
  virtual absl::Status WriteAll(std::int64_t offset, std::span<const std::span<const std::byte>> pieces);

  // Returns when everything that was written has arrived. An error ends the fetch, which returns it.
  virtual absl::Status Finish() = 0;

  // Ends a failed fetch. Returns when no write is in progress any more, at `until` at the latest.
  virtual void Abandon(absl::Time until);
};

// Writes to a range of an open file that begins at `file_offset`. Does not own the descriptor, which must outlive it.
// `path` is for messages. Finish does not sync the file.
class FileSink final : public Sink {
 public:
  FileSink(int fd, std::string path, std::int64_t file_offset, std::int64_t size_bytes)
      : fd_(fd), path_(std::move(path)), file_offset_(file_offset), size_bytes_(size_bytes) {}

  std::int64_t size_bytes() const override { return size_bytes_; }
  absl::Status Write(std::int64_t offset, std::span<const std::byte> data) override;
  absl::Status Finish() override { return absl::OkStatus(); }

 private:
  int fd_;
  std::string path_;
  std::int64_t file_offset_;
  std::int64_t size_bytes_;
};

struct ReadResult;

// The destination of a read's result: host memory, device memory (CudaDevice::Span) or a sink. It owns neither memory
// nor sink. Both must outlive the fetch, and nothing else may access the memory during the fetch. The size must be
// exactly that of the result.
//
// Bytes are copied to host memory before their checksum is compared. If it does not match, they are fetched again, or
// the fetch fails.
class Destination {
 public:
  using OpenSink = std::function<absl::StatusOr<std::unique_ptr<Sink>>()>;
  using Choose = std::function<absl::StatusOr<Destination>(const ReadResult&)>;

  // No destination: a fetch refuses it.
  Destination() = default;
  // Host memory, at any alignment: a span, a vector or an array of any trivially copyable type.
  template <typename Range>
  requires std::ranges::borrowed_range<Range> && requires(Range& range) { std::as_writable_bytes(std::span(range)); }
  Destination(Range&& memory)  // NOLINT(google-explicit-constructor): written inline, as `.into = memory`
      : memory_(std::as_writable_bytes(std::span(memory))), is_memory_(true) {}
  // A sink.
  Destination(Sink* sink) : sink_(sink) {}  // NOLINT(google-explicit-constructor): likewise
  // A sink of `size_bytes` that every fetch opens before it requests anything. `open` validates the sink. Its errors
  // end the fetch.
  static Destination Opened(std::int64_t size_bytes, OpenSink open);
  // Memory or a sink that `choose` returns when the server has described the result, for results of unknown size. It is
  // called at most once per fetch, on a thread of the fetch. Its errors end the fetch.
  static Destination Deferred(Choose choose);

  // Returns true if there is no destination.
  bool empty() const { return !is_memory_ && sink_ == nullptr && open_ == nullptr && choose_ == nullptr; }
  // Returns the size; 0 if it is deferred.
  std::int64_t size_bytes() const;
  // Returns true if it is host memory, of any size including 0.
  bool is_memory() const { return is_memory_; }
  // Returns the host memory; empty if it is something else.
  std::span<std::byte> memory() const { return memory_; }
  // Returns the sink; null if it is something else.
  Sink* sink() const { return sink_; }
  // Return the functions of Opened and Deferred; null if it is something else.
  const OpenSink* open_sink() const { return open_.get(); }
  const Choose* choose() const { return choose_.get(); }

 private:
  std::span<std::byte> memory_;
  bool is_memory_ = false;
  Sink* sink_ = nullptr;
  std::shared_ptr<const OpenSink> open_;
  std::shared_ptr<const Choose> choose_;
  std::int64_t size_bytes_ = 0;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_DESTINATION_H_
