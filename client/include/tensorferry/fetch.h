// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_FETCH_H_
#define TENSORFERRY_FETCH_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tensorferry/destination.h"
#include "tensorferry/dtype.h"
#include "tensorferry/slice.h"

namespace tensorferry {

// The progress of a fetch.
struct Progress {
  // Each byte counts once, when it arrives, even if the fetch resumes later.
  std::int64_t bytes_done = 0;
  // Grows when the size of a deferred destination (Destination::Deferred) becomes known.
  std::int64_t bytes_total = 0;
};

// Options for every call. The functions must not throw.
struct CallOptions {
  // The call fails with DEADLINE_EXCEEDED after this long.
  absl::Duration timeout = absl::InfiniteDuration();
  // Requesting a stop ends the call with CANCELLED.
  std::stop_token stop_token = {};
  // If not empty, the call fails with ABORTED unless this is the model's generation.
  std::string generation = {};
  // Called after a failure that may be temporary, with the time until the next attempt. Each connection retries
  // independently, on its own thread. Calls of this function and of FetchOptions::on_progress never overlap.
  std::function<void(const absl::Status&, absl::Duration)> on_retry = {};
};

// Options for a fetch: those of every call, and functions that report its progress.
struct FetchOptions {
  // As in CallOptions.
  absl::Duration timeout = absl::InfiniteDuration();
  std::stop_token stop_token = {};
  std::string generation = {};
  std::function<void(const absl::Status&, absl::Duration)> on_retry = {};
  // Called from time to time on the thread that waits for the fetch, and once more after a success.
  std::function<void(const Progress&)> on_progress = {};
  // Called with the index of a read when its result is complete and confirmed. Then every byte has arrived, is of the
  // fetch's generation, and the server has found its files unchanged after it sent the byte. Called once for each read
  // before the fetch returns OK, one call at a time, on the thread that waits. The function may block without delaying
  // the transfer.
  std::function<void(std::size_t index)> on_read_done = {};

  // Returns the options of every call.
  CallOptions call() const { return {timeout, stop_token, generation, on_retry}; }
};

// One requested tensor or slice, and the destination of its result.
struct Read {
  std::string tensor;
  // Absent: the whole tensor.
  std::optional<SliceSpec> slice = std::nullopt;
  // A fetch refuses two reads into the same sink.
  Destination into = {};
};

// The description of a read's result.
struct ReadResult {
  std::string name;
  Dtype dtype = Dtype::kU8;
  // The shape after slicing.
  std::vector<std::int64_t> shape;
  std::int64_t size_bytes = 0;
};

// The outcome of a fetch: one result for each read, in the order of the reads, all of one generation.
struct FetchResult {
  std::string generation;
  std::vector<ReadResult> reads;
};

// A fetch that Client::StartFetch runs in the background. The destinations must outlive it. Not safe for concurrent
// use, except for Cancel and progress.
class PendingFetch {
 public:
  class Impl;
  explicit PendingFetch(std::unique_ptr<Impl> impl);
  PendingFetch(PendingFetch&&) noexcept;
  PendingFetch& operator=(PendingFetch&&) noexcept;
  // Cancels a fetch that still runs. Returns when nothing writes to its destinations any more.
  ~PendingFetch();

  // Waits for the end of the fetch, and calls on_read_done and on_progress. Errors: as Client::Fetch. Every call
  // returns the same status.
  absl::Status Wait();
  // Waits as Wait does, and returns the results.
  absl::StatusOr<FetchResult> Result();
  // Ends the fetch with CANCELLED, unless it has ended. Does not wait.
  void Cancel();
  // Returns the bytes so far.
  Progress progress() const;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_FETCH_H_
