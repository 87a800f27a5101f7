// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CUDA_POLL_BACKOFF_H_
#define TENSORFERRY_CLIENT_CUDA_POLL_BACKOFF_H_

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "lib/sync/mutex.h"
#include "tensorferry/destination.h"

namespace tensorferry::cuda {

// The pauses between polls of a device: the first few are without sleep, since a copy takes about 100 microseconds.
// Later ones grow up to a millisecond. `limits` must outlive this object.
class PollBackoff {
 public:
  explicit PollBackoff(const FetchLimits& limits) : limits_(limits) {}

  // Releases `mutex` and pauses, at most until `changed` is signalled. Errors: CANCELLED, DEADLINE_EXCEEDED: a limit is
  // reached.
  absl::Status Pause(Mutex& mutex, CondVar& changed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

 private:
  const FetchLimits& limits_;
  int polls_ = 0;
  absl::Duration pause_ = absl::Microseconds(20);
};

}  // namespace tensorferry::cuda

#endif  // TENSORFERRY_CLIENT_CUDA_POLL_BACKOFF_H_
