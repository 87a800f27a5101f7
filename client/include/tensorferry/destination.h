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

// How long a fetch lets its sinks wait: until the deadline (DEADLINE_EXCEEDED), or a stop (CANCELLED).
struct FetchLimits {
  absl::Time deadline = absl::InfiniteFuture();
  std::stop_token stop_token = {};
};

// Accepts the bytes of one result, of a fixed size, at any offset: the interface behind which files, pipes and device
// memory look the same to a fetch.
//
// A fetch calls Begin once, writes only bytes whose checksum matched, each at least once, and then calls Finish once.
// If it fails, it calls Abandon in the end, unless it failed before Begin. With several connections it writes from
// several threads at once, but never to overlapping ranges at once. None of these functions may throw.
class Sink {
 public:
  virtual ~Sink() = default;

  // The size, which must be that of the result.
  virtual std::int64_t size_bytes() const = 0;

  // A fetch begins. Write and Finish may wait within `limits` only. An error ends the fetch, which returns it.
  virtual absl::Status Begin(const FetchLimits& limits);

  // Takes `data`, which is valid only during the call, to `offset`. The range is inside the sink.
  // An error ends the fetch, which returns it.
  virtual absl::Status Write(std::int64_t offset, std::span<const std::byte> data) = 0;

  // The same of several pieces of data, one after the other, for sinks to which each call is expensive. By default a
  // Write for each.
  virtual absl::Status WriteAll(std::int64_t offset, std::span<const std::span<const std::byte>> pieces);

  // Returns when all that was written has arrived. An error ends the fetch, which returns it.
  virtual absl::Status Finish() = 0;

  // The fetch failed. Returns when no write is in progress any more, at `until` at the latest.
  virtual void Abandon(absl::Time until);
};

// A run of an open file, from `file_offset`. Does not own the descriptor; `path` is for messages. Finish does not sync
// the file.
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

// Where the result of a read goes: host memory, device memory (CudaDevice::Span) or a sink. None is owned: all must
// outlive the fetch, and nobody else may touch the memory meanwhile. The size must be exactly that of the result.
//
// Bytes land in host memory before their checksum is compared. If it does not match, they are fetched again or the
// fetch fails.
class Destination {
 public:
  using OpenSink = std::function<absl::StatusOr<std::unique_ptr<Sink>>()>;
  using Choose = std::function<absl::StatusOr<Destination>(const ReadResult&)>;

  // None: a fetch refuses it.
  Destination() = default;
  // Host memory, at any alignment: a span, a vector or an array of any trivially copyable type.
  template <typename Range>
  requires std::ranges::borrowed_range<Range> && requires(Range& range) { std::as_writable_bytes(std::span(range)); }
  Destination(Range&& memory)  // NOLINT(google-explicit-constructor): written inline, as `.into = memory`
      : memory_(std::as_writable_bytes(std::span(memory))), is_memory_(true) {}
  // A sink.
  Destination(Sink* sink) : sink_(sink) {}  // NOLINT(google-explicit-constructor): likewise
  // A sink of `size_bytes` that every fetch opens for itself before anything is requested. `open` validates it; its
  // errors end the fetch.
  static Destination Opened(std::int64_t size_bytes, OpenSink open);
  // Memory or a sink that `choose` returns when the server has described the result, so that its size need not be known
  // before. Called at most once for each fetch, on a thread of the fetch; its errors end the fetch.
  static Destination Deferred(Choose choose);

  // True if there is nowhere to write to.
  bool empty() const { return !is_memory_ && sink_ == nullptr && open_ == nullptr && choose_ == nullptr; }
  // 0 if it is deferred.
  std::int64_t size_bytes() const;
  // True if it is host memory, which may have no bytes.
  bool is_memory() const { return is_memory_; }
  // The memory; empty if it is none.
  std::span<std::byte> memory() const { return memory_; }
  // The sink; null if there is none.
  Sink* sink() const { return sink_; }
  // The functions of Opened and Deferred; null if it is something else.
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
