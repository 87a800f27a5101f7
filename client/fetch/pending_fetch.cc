// SPDX-License-Identifier: Apache-2.0
#include "client/fetch/pending_fetch.h"

#include <fmt/format.h>

#include <chrono>
#include <functional>
#include <system_error>
#include <utility>

namespace tensorferry {
namespace {

constexpr std::chrono::milliseconds kProgressInterval{100};

}  // namespace

PendingFetch::Impl::Impl(std::shared_ptr<const void> owner, const FetchLinks& links, const Retry& retry,
                         std::string model, std::vector<Read> reads, FetchOptions options)
    : owner_(std::move(owner)),
      model_(std::move(model)),
      reads_(std::move(reads)),
      caller_options_(std::move(options)),
      options_(OptionsOfFetch()),
      fetch_(links, retry, model_, reads_, options_,
             caller_options_.on_read_done ? ReadTracker::OnDone([this](std::size_t read) {
               const std::lock_guard lock(mutex_);
               confirmed_.push_back(read);
               changed_.notify_one();
             })
                                          : ReadTracker::OnDone()) {
  try {
    thread_ = std::jthread([this] { Run(); });
  } catch (const std::system_error& error) {
    result_ = absl::ResourceExhaustedError(fmt::format("there is no thread for the fetch: {}", error.what()));
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
      const std::lock_guard lock(report_mutex_);
      caller_options_.on_retry(status, delay);
    };
  }
  return options;
}

void PendingFetch::Impl::Run() {
  absl::StatusOr<FetchResult> result = fetch_.Run();
  const std::lock_guard lock(mutex_);
  result_ = std::move(result);
  changed_.notify_one();
}

absl::Status PendingFetch::Impl::Wait() {
  std::unique_lock lock(mutex_);
  while (true) {
    const bool failed = result_ && !result_->ok();
    if (failed) return result_->status();
    if (!confirmed_.empty()) {
      const std::size_t read = confirmed_.front();
      confirmed_.pop_front();
      lock.unlock();
      const absl::Status status = ReportDone(read);
      lock.lock();
      if (!status.ok()) {
        fetch_.Fail(status);
        changed_.wait(lock, [this] { return result_.has_value(); });
        if (result_->ok()) result_ = status;
      }
      continue;
    }
    if (result_) {
      lock.unlock();
      ReportProgress();
      return absl::OkStatus();
    }
    changed_.wait_for(lock, kProgressInterval);
    lock.unlock();
    ReportProgress();
    lock.lock();
  }
}

absl::Status PendingFetch::Impl::ReportDone(std::size_t read) {
  if (absl::Status status = fetch_.FinishRead(read); !status.ok()) return status;
  caller_options_.on_read_done(read);
  return absl::OkStatus();
}

void PendingFetch::Impl::ReportProgress() {
  if (!caller_options_.on_progress) return;
  const std::lock_guard lock(report_mutex_);
  caller_options_.on_progress(progress());
}

PendingFetch::PendingFetch(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PendingFetch::PendingFetch(PendingFetch&&) noexcept = default;
PendingFetch& PendingFetch::operator=(PendingFetch&&) noexcept = default;
PendingFetch::~PendingFetch() = default;

absl::Status PendingFetch::Wait() { return impl_->Wait(); }

absl::StatusOr<FetchResult> PendingFetch::Result() {
  if (absl::Status status = Wait(); !status.ok()) return status;
  return impl_->result();
}

void PendingFetch::Cancel() { impl_->Cancel(); }
Progress PendingFetch::progress() const { return impl_->progress(); }

}  // namespace tensorferry
