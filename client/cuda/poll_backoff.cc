// SPDX-License-Identifier: Apache-2.0
#include "client/cuda/poll_backoff.h"

#include <algorithm>

#include "absl/time/clock.h"

namespace tensorferry::cuda {

absl::Status PollBackoff::Pause(Mutex& mutex, CondVar& changed) {
  constexpr int kPollsWithoutSleep = 20;
  constexpr absl::Duration kLongestPause = absl::Milliseconds(1);
  if (limits_.stop_token.stop_requested()) return absl::CancelledError("stopped");
  if (absl::Now() >= limits_.deadline) {
    return absl::DeadlineExceededError("copies to the device are still pending");
  }
  if (polls_++ < kPollsWithoutSleep) {
    // No yield either: on a busy machine it takes as long as a sleep of milliseconds.
    mutex.Unlock();
    mutex.Lock();
  } else {
    changed.WaitWithTimeout(&mutex, pause_);
    pause_ = std::min(2 * pause_, kLongestPause);
  }
  return absl::OkStatus();
}

}  // namespace tensorferry::cuda
