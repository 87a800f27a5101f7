// SPDX-License-Identifier: Apache-2.0
#include "client/fetch/fetch_state.h"

#include <fmt/format.h>

#include <utility>

#include "client/channel/connection.h"
#include "lib/text/quote.h"

namespace tensorferry {

FetchState::FetchState(const FetchOptions& options, const Retry& retry, std::size_t read_count,
                       ReadTracker::OnDone on_read_confirmed)
    : options_(options),
      retry_(retry),
      deadline_(DeadlineAfter(options.timeout)),
      on_stop_(options.stop_token, [this] { Stop(); }),
      tracker_(read_count, std::move(on_read_confirmed)),
      generation_(options.generation) {}

std::string FetchState::RequiredGeneration() {
  const std::lock_guard lock(mutex_);
  return generation_;
}

absl::Status FetchState::AgreeOn(const std::string& generation) {
  const std::lock_guard lock(mutex_);
  has_begun_ = true;
  if (generation_.empty()) generation_ = generation;
  if (generation_ == generation) return absl::OkStatus();
  return absl::AbortedError(fmt::format("the model changed while it was fetched: from generation {} to {}",
                                        Quote(generation_), Quote(generation)));
}

void FetchState::ReportProgress() {
  if (!options_.on_progress) return;
  const std::lock_guard lock(report_mutex_);
  options_.on_progress(progress());
}

void FetchState::ReportRetry(const absl::Status& status, absl::Duration delay) {
  if (!options_.on_retry) return;
  const std::lock_guard lock(report_mutex_);
  options_.on_retry(status, delay);
}

}  // namespace tensorferry
