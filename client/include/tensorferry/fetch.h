// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_FETCH_H_
#define TENSORFERRY_FETCH_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tensorferry/destination.h"
#include "tensorferry/dtype.h"
#include "tensorferry/slice.h"

namespace tensorferry {

// How far a fetch has come.
struct Progress {
  std::int64_t bytes_done = 0;
  std::int64_t bytes_total = 0;
};

// What may be said of any call. The functions must not throw.
struct CallOptions {
  // The call fails with DEADLINE_EXCEEDED after this long.
  absl::Duration timeout = absl::InfiniteDuration();
  // Requesting a stop makes the call fail with CANCELLED.
  std::stop_token stop_token = {};
  // If not empty, the call fails with ABORTED unless the model is of this generation.
  std::string generation = {};
  // Called after a failure that may pass, with the time until the next attempt. Of several connections each has
  // failures of its own, and a thread of its own to call from; but this and `on_progress` are never called at once.
  std::function<void(const absl::Status&, absl::Duration)> on_retry = {};
};

// What may be said of a fetch.
struct FetchOptions : CallOptions {
  // Called from time to time on the thread that called Fetch, and once at the end of a fetch that succeeds. What is
  // done stays done: no byte counts twice, however often the fetch has to be taken up again. Must not throw.
  std::function<void(const Progress&)> on_progress = {};
};

// One tensor or slice wanted, and where it shall go: each to a destination of its own.
struct Read {
  std::string tensor;
  // Absent: the whole tensor.
  std::optional<SliceSpec> slice = std::nullopt;
  // Not owned; must outlive the fetch and have exactly the size of the result. Nobody else may touch it meanwhile.
  Destination* destination = nullptr;
};

// What a read got.
struct ReadResult {
  std::string name;
  Dtype dtype = Dtype::kU8;
  // The shape after slicing.
  std::vector<std::int64_t> shape;
  std::int64_t size_bytes = 0;
};

// What a fetch got: one result for each read, in their order, all of one generation.
struct FetchResult {
  std::string generation;
  std::vector<ReadResult> reads;
};

// A tensor or slice in memory that it owns, dense and row-major.
class Tensor {
 public:
  Tensor(ReadResult description, std::unique_ptr<std::byte[]> data)
      : description_(std::move(description)), data_(std::move(data)) {}

  const std::string& name() const { return description_.name; }
  Dtype dtype() const { return description_.dtype; }
  const std::vector<std::int64_t>& shape() const { return description_.shape; }
  std::span<const std::byte> data() const { return {data_.get(), static_cast<std::size_t>(description_.size_bytes)}; }

 private:
  ReadResult description_;
  std::unique_ptr<std::byte[]> data_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_FETCH_H_
