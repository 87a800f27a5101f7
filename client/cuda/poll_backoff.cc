// SPDX-License-Identifier: Apache-2.0
#include "client/cuda/poll_backoff.h"

#include <algorithm>

#include "absl/time/clock.h"

namespace tensorferry::cuda {

absl::Status PollBackoff::Pause(std::unique_lock<std::mutex>& lock, std::condition_variable& changed) {
  constexpr int kPollsWithoutSleep = 20;
  constexpr std::chrono::microseconds kLongestPause{1000};
  if (limits_.stop_token.stop_requested()) return absl::CancelledError("stopped");
  if (absl::Now() >= limits_.deadline) {
    return absl::DeadlineExceededError("the deadline passed while copies to the device were pending");
  }
  if (polls_++ < kPollsWithoutSleep) {
    // No yield either: on a busy machine that takes as long as a sleep of milliseconds.
    lock.unlock();
    lock.lock();
  } else {
    changed.wait_for(lock, pause_);
    pause_ = std::min(2 * pause_, kLongestPause);
  }
  return absl::OkStatus();
}

}  // namespace tensorferry::cuda
