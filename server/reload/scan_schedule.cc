// SPDX-License-Identifier: Apache-2.0
#include "server/reload/scan_schedule.h"

#include <algorithm>

namespace tensorferry::server {

ScanSchedule::ScanSchedule(Clock::duration interval, Clock::time_point now) : interval_(interval) {
  OnScan(now, Clock::duration::zero());
}

void ScanSchedule::OnScan(Clock::time_point now, Clock::duration duration) {
  due_ = false;
  first_hint_.reset();
  if (interval_ > Clock::duration::zero()) timer_ = now + std::max(interval_, kRestPerScan * duration);
}

void ScanSchedule::OnHint(Clock::time_point now) {
  if (first_hint_) return;
  first_hint_ = now;
  quiet_end_ = now + kQuietTime;
}

void ScanSchedule::OnQuietTimeEnd(Clock::time_point now, bool more_hints) {
  due_ = !more_hints || now - *first_hint_ >= kMaxQuietWait;
  quiet_end_ = now + kQuietTime;
}

std::optional<ScanSchedule::Clock::time_point> ScanSchedule::wake_time() const {
  if (!hinted()) return timer_;
  return timer_ ? std::min(*timer_, quiet_end_) : quiet_end_;
}

}  // namespace tensorferry::server
