// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_FETCH_PENDING_FETCH_H_
#define TENSORFERRY_CLIENT_FETCH_PENDING_FETCH_H_

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "client/fetch/parallel_fetch.h"
#include "lib/sync/mutex.h"
#include "tensorferry/fetch.h"

namespace tensorferry {

// Runs a ParallelFetch on its own thread, and passes its events to the thread that waits. Thread-safety: as
// PendingFetch.
class PendingFetch::Impl {
 public:
  // `owner` keeps `channels` and `retry` alive.
  Impl(std::shared_ptr<const void> owner, const FetchChannels& channels, const Retry& retry, std::string model,
       std::vector<Read> reads, FetchOptions options);
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl();

  absl::Status Wait() ABSL_LOCKS_EXCLUDED(mutex_);
  // Returns the result. To be called after Wait.
  absl::StatusOr<FetchResult> Result() ABSL_LOCKS_EXCLUDED(mutex_);
  void Cancel() { fetch_.Stop(); }
  Progress progress() const { return fetch_.progress(); }

 private:
  FetchOptions OptionsOfFetch();
  void Run() ABSL_LOCKS_EXCLUDED(mutex_);
  void ReportProgress() ABSL_LOCKS_EXCLUDED(report_mutex_);
  // Reports a confirmed read: waits for its destination and calls the caller's function. Errors: those of the
  // destination.
  absl::Status ReportDone(std::size_t read) ABSL_LOCKS_EXCLUDED(mutex_);

  const std::shared_ptr<const void> owner_;
  const std::string model_;
  const std::vector<Read> reads_;
  const FetchOptions caller_options_;
  Mutex report_mutex_;          // held while on_progress or on_retry is called
  const FetchOptions options_;  // of the fetch itself
  ParallelFetch fetch_;
  Mutex mutex_;
  CondVar changed_;
  // The confirmed reads that were not reported yet.
  std::deque<std::size_t> confirmed_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::StatusOr<FetchResult>> result_ ABSL_GUARDED_BY(mutex_);
  std::jthread thread_;  // the last member, so that it ends first
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_FETCH_PENDING_FETCH_H_
