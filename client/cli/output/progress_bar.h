// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_OUTPUT_PROGRESS_BAR_H_
#define TENSORFERRY_CLIENT_CLI_OUTPUT_PROGRESS_BAR_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "tensorferry/fetch.h"

namespace tensorferry::cli {

// A line on stderr that shows how far a fetch has come, how fast it is and how long it will take; nothing if stderr is
// not a terminal. The line goes away with the object. Not safe for concurrent use.
class ProgressBar {
 public:
  // `bytes_before` were there when the fetch began: they count as done, but not for the rate.
  explicit ProgressBar(std::string_view label, std::int64_t bytes_before = 0);

  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  ~ProgressBar() { Clear(); }

  // What to give to FetchOptions::on_progress: empty where there is nothing to show. Must not outlive the bar.
  std::function<void(const Progress&)> Callback();

  // Takes the line away; the next update draws it again.
  void Clear();

 private:
  using Clock = std::chrono::steady_clock;

  void Update(const Progress& progress);
  std::string Line(const Progress& progress, double seconds, std::size_t columns) const;

  const std::string label_;
  const std::int64_t bytes_before_;
  const bool enabled_;
  const Clock::time_point start_ = Clock::now();
  Clock::time_point next_draw_ = start_;
  bool drawn_ = false;
};

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_OUTPUT_PROGRESS_BAR_H_
