// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_RELOAD_SCAN_SCHEDULE_H_
#define TENSORFERRY_SERVER_RELOAD_SCAN_SCHEDULE_H_

#include <chrono>
#include <optional>

namespace tensorferry::server {

// Decides when a root is scanned again: by time, and after hints that it may have changed. Files come in groups, so a
// scan waits until no hint has arrived for kQuietTime, but at most kMaxQuietWait. Has no clock: callers pass the time.
// Not safe for concurrent use.
class ScanSchedule {
 public:
  using Clock = std::chrono::steady_clock;

  static constexpr std::chrono::milliseconds kQuietTime{200};
  static constexpr std::chrono::milliseconds kMaxQuietWait{2'000};
  // A root is left alone for at least this many times the duration of its last scan, so that scans take no more than a
  // twentieth of the time.
  static constexpr int kRestPerScan = 20;

  // `interval` 0: scans after hints only. `now` is the time of the first scan.
  ScanSchedule(Clock::duration interval, Clock::time_point now);

  // A scan that took `duration` ended. It covers all earlier hints.
  void OnScan(Clock::time_point now, Clock::duration duration);
  // The root may have changed.
  void OnHint(Clock::time_point now);
  // Call when quiet_time_ended(). `more_hints`: some arrived during the quiet time.
  void OnQuietTimeEnd(Clock::time_point now, bool more_hints);

  bool IsDue(Clock::time_point now) const { return due_ || (timer_ && now >= *timer_); }
  // True from a hint to the next scan. Further hints are best taken at the end of the quiet time: there may be
  // thousands.
  bool hinted() const { return first_hint_.has_value(); }
  bool QuietTimeEnded(Clock::time_point now) const { return hinted() && now >= quiet_end_; }
  // Returns the time until which nothing changes unless a hint arrives; nothing: forever.
  std::optional<Clock::time_point> wake_time() const;

 private:
  const Clock::duration interval_;
  std::optional<Clock::time_point> timer_;
  std::optional<Clock::time_point> first_hint_;
  Clock::time_point quiet_end_;
  bool due_ = false;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_RELOAD_SCAN_SCHEDULE_H_
