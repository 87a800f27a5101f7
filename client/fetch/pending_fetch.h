// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_FETCH_PENDING_FETCH_H_
#define TENSORFERRY_CLIENT_FETCH_PENDING_FETCH_H_

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "client/fetch/parallel_fetch.h"
#include "tensorferry/fetch.h"

namespace tensorferry {

// Runs a ParallelFetch on a thread of its own, and hands its events to the thread that waits.
class PendingFetch::Impl {
 public:
  // `owner` keeps `links` and `retry` alive.
  Impl(std::shared_ptr<const void> owner, const FetchLinks& links, const Retry& retry, std::string model,
       std::vector<Read> reads, FetchOptions options);
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl();

  absl::Status Wait();
  const absl::StatusOr<FetchResult>& result() const { return *result_; }
  void Cancel() { fetch_.Stop(); }
  Progress progress() const { return fetch_.progress(); }

 private:
  FetchOptions OptionsOfFetch();
  void Run();
  void ReportProgress();
  // The read is confirmed: waits for its destination and calls the caller's function. Errors: those of the destination.
  absl::Status ReportDone(std::size_t read);

  const std::shared_ptr<const void> owner_;
  const std::string model_;
  const std::vector<Read> reads_;
  const FetchOptions caller_options_;
  std::mutex report_mutex_;     // held while on_progress or on_retry is called
  const FetchOptions options_;  // of the fetch itself
  ParallelFetch fetch_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<std::size_t> confirmed_;  // reads that were not reported yet
  std::optional<absl::StatusOr<FetchResult>> result_;
  std::jthread thread_;  // the last member, so that it ends first
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_FETCH_PENDING_FETCH_H_
