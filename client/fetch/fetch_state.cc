// SPDX-License-Identifier: Apache-2.0
#include "client/fetch/fetch_state.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "client/channel/call_error.h"
#include "client/channel/connection.h"
#include "lib/text/quote.h"

namespace tensorferry {
namespace {

// Returns for example "17 B", "1.50 kB" or "14.7 MB".
std::string FormatBytes(std::int64_t size_bytes) {
  constexpr std::array kUnits = {"B", "kB", "MB", "GB", "TB"};
  if (size_bytes < 1000) return fmt::format("{} B", size_bytes);
  auto size = static_cast<double>(size_bytes);
  std::size_t unit = 0;
  for (; size >= 999.5 && unit + 1 < kUnits.size(); ++unit) size /= 1000;
  return fmt::format("{:.{}f} {}", size, size < 10 ? 2 : size < 100 ? 1 : 0, kUnits[unit]);
}

}  // namespace

FetchState::FetchState(const FetchOptions& options, const Retry& retry, std::size_t read_count,
                       ReadTracker::OnDone on_read_confirmed)
    : options_(options),
      retry_(retry),
      deadline_(DeadlineAfter(options.timeout)),
      on_stop_(options.stop_token, [this] { Stop(); }),
      tracker_(read_count, std::move(on_read_confirmed)),
      generation_(options.generation) {}

std::string FetchState::RequiredGeneration() {
  const MutexLock lock(&mutex_);
  return generation_;
}

absl::Status FetchState::AgreeOn(const std::string& generation) {
  const MutexLock lock(&mutex_);
  has_begun_ = true;
  if (generation_.empty()) generation_ = generation;
  if (generation_ == generation) return absl::OkStatus();
  return absl::AbortedError(fmt::format("the model changed during the fetch: from generation {} to {}",
                                        Quote(generation_), Quote(generation)));
}

absl::Status FetchState::ExplainError(const absl::Status& status) const {
  const Progress progress = this->progress();
  return ExplainTimeout(status, options_.timeout,
                        progress.bytes_total == 0 ? ""
                                                  : fmt::format(" with {} of {}", FormatBytes(progress.bytes_done),
                                                                FormatBytes(progress.bytes_total)));
}

void FetchState::ReportProgress() {
  if (!options_.on_progress) return;
  const MutexLock lock(&report_mutex_);
  options_.on_progress(progress());
}

void FetchState::ReportRetry(const absl::Status& status, absl::Duration delay) {
  if (!options_.on_retry) return;
  const MutexLock lock(&report_mutex_);
  options_.on_retry(status, delay);
}

}  // namespace tensorferry
