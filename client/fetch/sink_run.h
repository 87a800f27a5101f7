// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_FETCH_SINK_RUN_H_
#define TENSORFERRY_CLIENT_FETCH_SINK_RUN_H_

#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "lib/sync/mutex.h"
#include "tensorferry/destination.h"

namespace tensorferry {

// The use of a sink by one fetch, which finishes it once or abandons it. Safe for concurrent use by multiple threads.
class SinkRun {
 public:
  // `owned` is `sink` itself if the fetch opened it, otherwise null.
  SinkRun(Sink* sink, std::unique_ptr<Sink> owned) : sink_(sink), owned_(std::move(owned)) {}

  Sink* sink() const { return sink_; }

  // Waits until everything that was written has arrived, within the limits that the sink began with. Every call returns
  // the same status.
  absl::Status Finish() ABSL_LOCKS_EXCLUDED(mutex_) {
    const MutexLock lock(&mutex_);
    if (!std::exchange(finished_, true)) status_ = sink_->Finish();
    return status_;
  }

  void Abandon(absl::Time until) ABSL_LOCKS_EXCLUDED(mutex_) {
    const MutexLock lock(&mutex_);
    finished_ = true;
    sink_->Abandon(until);
  }

 private:
  Sink* const sink_;
  const std::unique_ptr<Sink> owned_;
  Mutex mutex_;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_) = absl::CancelledError("the fetch failed");
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_FETCH_SINK_RUN_H_
