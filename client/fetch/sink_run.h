// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_FETCH_SINK_RUN_H_
#define TENSORFERRY_CLIENT_FETCH_SINK_RUN_H_

#include <memory>
#include <mutex>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tensorferry/destination.h"

namespace tensorferry {

// One sink during one fetch: finished once, by whichever thread needs it first, or abandoned. Safe for concurrent use
// by multiple threads.
class SinkRun {
 public:
  // `owned` is `sink` itself, if the fetch opened it.
  SinkRun(Sink* sink, std::unique_ptr<Sink> owned) : sink_(sink), owned_(std::move(owned)) {}

  Sink* sink() const { return sink_; }

  // Waits, within the limits that the sink began with, until all that was written has arrived.
  absl::Status Finish() {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(finished_, true)) status_ = sink_->Finish();
    return status_;
  }

  void Abandon(absl::Time until) {
    const std::lock_guard lock(mutex_);
    finished_ = true;
    sink_->Abandon(until);
  }

 private:
  Sink* const sink_;
  const std::unique_ptr<Sink> owned_;
  std::mutex mutex_;  // guards what follows
  bool finished_ = false;
  absl::Status status_ = absl::CancelledError("the fetch failed");
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_FETCH_SINK_RUN_H_
