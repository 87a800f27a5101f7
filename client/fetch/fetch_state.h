// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_FETCH_FETCH_STATE_H_
#define TENSORFERRY_CLIENT_FETCH_FETCH_STATE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/channel/retry_loop.h"
#include "client/fetch/read_tracker.h"
#include "lib/sync/mutex.h"
#include "tensorferry/fetch.h"

namespace tensorferry {

// The state that the streams of one fetch share. Safe for concurrent use by multiple threads.
class FetchState {
 public:
  // `options` and `retry` must outlive this object. `on_read_confirmed` may be empty.
  FetchState(const FetchOptions& options, const Retry& retry, std::size_t read_count,
             ReadTracker::OnDone on_read_confirmed);

  const Retry& retry() const { return retry_; }
  absl::Time deadline() const { return deadline_; }
  std::stop_token stop_token() const { return stop_.get_token(); }
  // Stops all streams.
  void Stop() { stop_.request_stop(); }
  ReadTracker& tracker() { return tracker_; }

  // Returns the generation that all streams must have. Empty as long as any generation is accepted.
  std::string RequiredGeneration() ABSL_LOCKS_EXCLUDED(mutex_);
  // Makes `generation` the required one. Errors: ABORTED: another generation is required already.
  absl::Status AgreeOn(const std::string& generation) ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns true if a stream has begun.
  bool has_begun() const { return has_begun_; }

  void AddTotal(std::int64_t size_bytes) { bytes_total_ += size_bytes; }
  void AddBytes(std::int64_t size_bytes) { bytes_done_ += size_bytes; }
  Progress progress() const { return {.bytes_done = bytes_done_, .bytes_total = bytes_total_}; }

  // Returns `status` as the error of the whole fetch: a timeout is reported with the progress.
  absl::Status ExplainError(const absl::Status& status) const;

  // Call the caller's functions, one at a time.
  void ReportProgress() ABSL_LOCKS_EXCLUDED(report_mutex_);
  void ReportRetry(const absl::Status& status, absl::Duration delay) ABSL_LOCKS_EXCLUDED(report_mutex_);

 private:
  const FetchOptions& options_;
  const Retry& retry_;
  const absl::Time deadline_;
  std::stop_source stop_;
  std::stop_callback<std::function<void()>> on_stop_;
  ReadTracker tracker_;
  std::atomic<bool> has_begun_ = false;
  std::atomic<std::int64_t> bytes_total_ = 0;
  std::atomic<std::int64_t> bytes_done_ = 0;
  // Held while the caller's functions are called.
  Mutex report_mutex_;
  Mutex mutex_;
  std::string generation_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_FETCH_FETCH_STATE_H_
