// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CUDA_PATIENCE_H_
#define TENSORFERRY_CLIENT_CUDA_PATIENCE_H_

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "absl/status/status.h"
#include "tensorferry/destination.h"

namespace tensorferry::cuda {

// The waits between one look at a device and the next: a few without sleeping, since copies take some 100 microseconds,
// then longer ones, up to a millisecond. `limits` must outlive it.
class Patience {
 public:
  explicit Patience(const FetchLimits& limits) : limits_(limits) {}

  // Waits, or until `changed`. Errors: CANCELLED, DEADLINE_EXCEEDED: as the limits say.
  absl::Status Wait(std::unique_lock<std::mutex>& lock, std::condition_variable& changed);

 private:
  const FetchLimits& limits_;
  int looks_ = 0;
  std::chrono::microseconds pause_{20};
};

}  // namespace tensorferry::cuda

#endif  // TENSORFERRY_CLIENT_CUDA_PATIENCE_H_
