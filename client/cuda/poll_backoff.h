// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CUDA_POLL_BACKOFF_H_
#define TENSORFERRY_CLIENT_CUDA_POLL_BACKOFF_H_

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "absl/status/status.h"
#include "tensorferry/destination.h"

namespace tensorferry::cuda {

// The pauses between polls of a device: the first few are without sleep, since a copy takes about 100 microseconds.
// Later ones grow up to a millisecond. `limits` must outlive this object.
class PollBackoff {
 public:
  explicit PollBackoff(const FetchLimits& limits) : limits_(limits) {}

  // Pauses, for less if `changed` is notified. Errors: CANCELLED, DEADLINE_EXCEEDED: a limit is reached.
  absl::Status Pause(std::unique_lock<std::mutex>& lock, std::condition_variable& changed);

 private:
  const FetchLimits& limits_;
  int polls_ = 0;
  std::chrono::microseconds pause_{20};
};

}  // namespace tensorferry::cuda

#endif  // TENSORFERRY_CLIENT_CUDA_POLL_BACKOFF_H_
