// SPDX-License-Identifier: Apache-2.0
#include "client/fetch/pending_fetch.h"

#include <fmt/format.h>

#include <functional>
#include <system_error>
#include <utility>

namespace tensorferry {
namespace {

constexpr absl::Duration kProgressInterval = absl::Milliseconds(100);

}  // namespace

PendingFetch::Impl::Impl(std::shared_ptr<const void> owner, const FetchChannels& channels, const Retry& retry,
                         std::string model, std::vector<Read> reads, FetchOptions options)
    : owner_(std::move(owner)),
      model_(std::move(model)),
      reads_(std::move(reads)),
      caller_options_(std::move(options)),
      options_(OptionsOfFetch()),
      fetch_(channels, retry, model_, reads_, options_,
             caller_options_.on_read_done ? ReadTracker::OnDone([this](std::size_t read) {
               const MutexLock lock(&mutex_);
               confirmed_.push_back(read);
               changed_.Signal();
             })
                                          : ReadTracker::OnDone()) {
  try {
    thread_ = std::jthread([this] { Run(); });
  } catch (const std::system_error& error) {
    result_ = absl::ResourceExhaustedError(fmt::format("cannot start a thread for the fetch: {}", error.what()));
  }
}

PendingFetch::Impl::~Impl() { Cancel(); }

FetchOptions PendingFetch::Impl::OptionsOfFetch() {
  FetchOptions options = caller_options_;
  // Progress and reads are reported by the thread that waits.
  options.on_progress = {};
  options.on_read_done = {};
  if (options.on_retry) {
    options.on_retry = [this](const absl::Status& status, absl::Duration delay) {
      const MutexLock lock(&report_mutex_);
      caller_options_.on_retry(status, delay);
    };
  }
  return options;
}

void PendingFetch::Impl::Run() {
  absl::StatusOr<FetchResult> result = fetch_.Run();
  const MutexLock lock(&mutex_);
  result_ = std::move(result);
  changed_.Signal();
}

absl::Status PendingFetch::Impl::Wait() {
  while (true) {
    std::optional<std::size_t> confirmed;
    bool waited = false;
    bool ended = false;
    {
      const MutexLock lock(&mutex_);
      if (confirmed_.empty() && !result_) {
        changed_.WaitWithTimeout(&mutex_, kProgressInterval);
        waited = true;
      }
      ended = result_.has_value();
      if (ended && !result_->ok()) return result_->status();
      if (!confirmed_.empty()) {
        confirmed = confirmed_.front();
        confirmed_.pop_front();
      }
    }
    if (waited || !confirmed) ReportProgress();
    if (!confirmed) {
      if (ended) return absl::OkStatus();
    } else if (const absl::Status status = ReportDone(*confirmed); !status.ok()) {
      fetch_.Fail(status);
      const MutexLock lock(&mutex_);
      while (!result_) changed_.Wait(&mutex_);
      if (result_->ok()) result_ = status;
    }
  }
}

absl::StatusOr<FetchResult> PendingFetch::Impl::Result() {
  const MutexLock lock(&mutex_);
  return *result_;
}

absl::Status PendingFetch::Impl::ReportDone(std::size_t read) {
  if (absl::Status status = fetch_.FinishRead(read); !status.ok()) return status;
  caller_options_.on_read_done(read);
  return absl::OkStatus();
}

void PendingFetch::Impl::ReportProgress() {
  if (!caller_options_.on_progress) return;
  const MutexLock lock(&report_mutex_);
  caller_options_.on_progress(progress());
}

PendingFetch::PendingFetch(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PendingFetch::PendingFetch(PendingFetch&&) noexcept = default;
PendingFetch& PendingFetch::operator=(PendingFetch&&) noexcept = default;
PendingFetch::~PendingFetch() = default;

absl::Status PendingFetch::Wait() { return impl_->Wait(); }

absl::StatusOr<FetchResult> PendingFetch::Result() {
  if (absl::Status status = Wait(); !status.ok()) return status;
  return impl_->Result();
}

void PendingFetch::Cancel() { impl_->Cancel(); }
Progress PendingFetch::progress() const { return impl_->progress(); }

}  // namespace tensorferry
