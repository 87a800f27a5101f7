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

// The progress of a fetch. Bytes that arrived stay counted: none counts twice, however often the fetch resumes.
struct Progress {
  std::int64_t bytes_done = 0;
  std::int64_t bytes_total = 0;
};

// Options for every call. The functions must not throw.
struct CallOptions {
  // The call fails with DEADLINE_EXCEEDED after this long.
  absl::Duration timeout = absl::InfiniteDuration();
  // Requesting a stop makes the call fail with CANCELLED.
  std::stop_token stop_token = {};
  // If not empty, the call fails with ABORTED unless the model is of this generation.
  std::string generation = {};
  // Called after a failure that may be temporary, with the time until the next attempt. Each connection retries on its
  // own, from a thread of its own; but this and FetchOptions::on_progress are never called at once.
  std::function<void(const absl::Status&, absl::Duration)> on_retry = {};
};

// Options for a fetch: those for every call, and what to report meanwhile.
struct FetchOptions {
  // As in CallOptions.
  absl::Duration timeout = absl::InfiniteDuration();
  std::stop_token stop_token = {};
  std::string generation = {};
  std::function<void(const absl::Status&, absl::Duration)> on_retry = {};
  // Called from time to time on the thread that waits, and once at the end of a fetch that succeeds.
  std::function<void(const Progress&)> on_progress = {};
  // Called with the index of a read when its result is complete and confirmed: every byte has arrived, is of the
  // fetch's generation, and the server has found its files unchanged after sending it. Called once for each read before
  // a fetch returns OK, one call at a time, on the thread that waits. The callback may block: the transfer continues
  // meanwhile.
  std::function<void(std::size_t index)> on_read_done = {};

  // The part that every call has.
  CallOptions call() const { return {timeout, stop_token, generation, on_retry}; }
};

// One requested tensor or slice, and where its result goes.
struct Read {
  std::string tensor;
  // Absent: the whole tensor.
  std::optional<SliceSpec> slice = std::nullopt;
  // Each read has its own.
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

// The outcome of a fetch: one result for each read, in their order, all of one generation.
struct FetchResult {
  std::string generation;
  std::vector<ReadResult> reads;
};

// A fetch that runs in the background, from Client::StartFetch. The destinations must outlive it. Not safe for
// concurrent use, except for Cancel and progress.
class PendingFetch {
 public:
  class Impl;
  explicit PendingFetch(std::unique_ptr<Impl> impl);
  PendingFetch(PendingFetch&&) noexcept;
  PendingFetch& operator=(PendingFetch&&) noexcept;
  // Cancels a fetch that still runs, and returns when nothing writes to its destinations any more.
  ~PendingFetch();

  // Waits for the end and calls on_read_done and on_progress meanwhile. Returns as Client::Fetch; the same at every
  // call.
  absl::Status Wait();
  // The results: those of Wait, which is called if it has not been.
  absl::StatusOr<FetchResult> Result();
  // Makes the fetch end with CANCELLED unless it has ended. Does not wait.
  void Cancel();
  Progress progress() const;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_FETCH_H_
