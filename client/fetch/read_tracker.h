// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_FETCH_READ_TRACKER_H_
#define TENSORFERRY_CLIENT_FETCH_READ_TRACKER_H_

#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "lib/sync/mutex.h"

namespace tensorferry {

// Counts the confirmed parts of a fetch's reads, and reports each read when all its parts are confirmed. Holds reports
// back while streams of the fetch bring bytes of different instances that have not been compared. Safe for concurrent
// use by multiple threads.
class ReadTracker {
 public:
  using OnDone = std::function<void(std::size_t read)>;

  // `on_done` is called with the lock held and must not call this object. Without it, nothing is tracked.
  ReadTracker(std::size_t read_count, OnDone on_done);

  // Announces one more part of a read. A read is not reported before EndParts.
  void AddPart(std::size_t read) ABSL_LOCKS_EXCLUDED(mutex_);
  // Ends the announcements of a read's parts.
  void EndParts(std::size_t read) ABSL_LOCKS_EXCLUDED(mutex_);

  // Records that the bytes of a stream are from `instance` now. Any pointer may identify the stream.
  void SetInstance(const void* stream, const std::string& instance) ABSL_LOCKS_EXCLUDED(mutex_);
  // Confirms one part of each of these reads.
  void Confirm(std::span<const std::size_t> reads) ABSL_LOCKS_EXCLUDED(mutex_);
  // Records that the bytes of all streams were compared, and reports all reads that were held back.
  void AllCompared() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct State {
    std::size_t unconfirmed = 0;
    bool all_announced = false;
  };

  void ReportIfDone(std::size_t read) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReportHeld() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const OnDone on_done_;
  Mutex mutex_;
  std::vector<State> states_ ABSL_GUARDED_BY(mutex_);
  std::map<const void*, std::string> instances_ ABSL_GUARDED_BY(mutex_);
  bool same_instance_ ABSL_GUARDED_BY(mutex_) = true;
  std::vector<std::size_t> held_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_FETCH_READ_TRACKER_H_
