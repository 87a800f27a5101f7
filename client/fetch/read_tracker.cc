// SPDX-License-Identifier: Apache-2.0
#include "client/fetch/read_tracker.h"

#include <algorithm>
#include <utility>

namespace tensorferry {

ReadTracker::ReadTracker(std::size_t read_count, OnDone on_done)
    : on_done_(std::move(on_done)), states_(on_done_ ? read_count : 0) {}

void ReadTracker::AddPart(std::size_t read) {
  if (!on_done_) return;
  const MutexLock lock(&mutex_);
  ++states_[read].unconfirmed;
}

void ReadTracker::EndParts(std::size_t read) {
  if (!on_done_) return;
  const MutexLock lock(&mutex_);
  states_[read].all_announced = true;
  ReportIfDone(read);
}

void ReadTracker::SetInstance(const void* stream, const std::string& instance) {
  if (!on_done_) return;
  const MutexLock lock(&mutex_);
  instances_[stream] = instance;
  same_instance_ = std::ranges::all_of(instances_, [&](const auto& known) { return known.second == instance; });
  if (same_instance_) ReportHeld();
}

void ReadTracker::Confirm(std::span<const std::size_t> reads) {
  if (!on_done_) return;
  const MutexLock lock(&mutex_);
  for (const std::size_t read : reads) {
    --states_[read].unconfirmed;
    ReportIfDone(read);
  }
}

void ReadTracker::AllCompared() {
  if (!on_done_) return;
  const MutexLock lock(&mutex_);
  same_instance_ = true;
  ReportHeld();
}

void ReadTracker::ReportIfDone(std::size_t read) {
  if (states_[read].unconfirmed > 0 || !states_[read].all_announced) return;
  if (same_instance_) {
    on_done_(read);
  } else {
    held_.push_back(read);
  }
}

void ReadTracker::ReportHeld() {
  for (const std::size_t read : std::exchange(held_, {})) on_done_(read);
}

}  // namespace tensorferry
