// SPDX-License-Identifier: Apache-2.0
#include "server/stream/confirmation.h"

namespace tensorferry::server {

void ReleasedWindows::Add(Window window) {
  bool wakes = false;
  {
    const MutexLock lock(&mutex_);
    wakes = wakes_for_each_;
    windows_.push_back(std::move(window));
    has_some_.store(true, std::memory_order_release);
  }
  if (wakes && wake_ != nullptr) wake_();
}

std::vector<Window> ReleasedWindows::Take() {
  const MutexLock lock(&mutex_);
  has_some_.store(false, std::memory_order_release);
  return std::exchange(windows_, {});
}

void ReleasedWindows::WakeForEach() {
  const MutexLock lock(&mutex_);
  wakes_for_each_ = true;
}

void Confirmations::Add(const Window& window) {
  early_.emplace(window.index, window.end_bytes);
  for (auto first = early_.begin(); first != early_.end() && first->first == next_; first = early_.erase(first)) {
    size_bytes_ = first->second;
    ++next_;
  }
  if (window.is_last) count_ = window.index + 1;
}

}  // namespace tensorferry::server
