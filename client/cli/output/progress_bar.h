// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_OUTPUT_PROGRESS_BAR_H_
#define TENSORFERRY_CLIENT_CLI_OUTPUT_PROGRESS_BAR_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tensorferry/fetch.h"

namespace tensorferry::cli {

// A line on stderr with the progress of a fetch, its rate and the time that it still needs. Draws nothing if stderr is
// not a terminal. The destructor removes the line. Not safe for concurrent use.
class ProgressBar {
 public:
  // `bytes_before` were present when the fetch began: they count as done, but not for the rate.
  explicit ProgressBar(std::string_view label, std::int64_t bytes_before = 0);

  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  ~ProgressBar() { Clear(); }

  // Returns the function for FetchOptions::on_progress; an empty one if nothing is drawn. It must not outlive the bar.
  std::function<void(const Progress&)> OnProgress();

  // Returns the function for CallOptions::on_retry: PrintRetry, after the bar is removed. It must not outlive the
  // bar.
  std::function<void(const absl::Status&, absl::Duration)> OnRetry();

 private:
  using Clock = std::chrono::steady_clock;

  void Clear();
  void Update(const Progress& progress);
  std::string Line(const Progress& progress, double seconds, std::size_t columns) const;

  const std::string label_;
  const std::int64_t bytes_before_;
  const bool enabled_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point next_draw_ = start_;
  bool drawn_ = false;
};

// Prints the line of a failure that is retried to stderr, terminal or not: the reader of a log needs it, too.
// For CallOptions::on_retry.
void PrintRetry(const absl::Status& status, absl::Duration delay);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_OUTPUT_PROGRESS_BAR_H_
