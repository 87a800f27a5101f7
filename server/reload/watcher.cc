// SPDX-License-Identifier: Apache-2.0
#include "server/reload/watcher.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <set>
#include <utility>

#include "absl/status/statusor.h"
#include "lib/catalog/catalog.h"
#include "server/log/log.h"
#include "server/reload/catalog_log.h"

namespace tensorferry::server {

CatalogWatcher::CatalogWatcher(std::string root, const WatchOptions& options, CurrentCatalog& current, Metrics& metrics)
    : root_(std::move(root)),
      options_(options),
      current_(current),
      metrics_(metrics),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      schedule_(options.interval, Clock::now()),
      thread_([this] { Run(); }) {}

CatalogWatcher::~CatalogWatcher() {
  ending_.request_stop();
  Wake();
  thread_.join();
}

void CatalogWatcher::Request() {
  requested_ = true;
  Wake();
}

void CatalogWatcher::Wake() {
  const std::uint64_t one = 1;
  // Fails only if many earlier wakes are pending.
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof(one));
}

void CatalogWatcher::Run() {
  if (absl::StatusOr<DirectoryMonitor> monitor = DirectoryMonitor::Create(); monitor.ok()) {
    monitor_.emplace(*std::move(monitor));
    WatchDirectories();
  } else {
    LogWarning("cannot watch the root, changes are found by --scan-interval and SIGHUP only",
               {{"error", monitor.status()}});
  }
  while (WaitUntilDue()) Scan();
}

bool CatalogWatcher::WaitUntilDue() {
  while (true) {
    if (ending_.stop_requested()) return false;
    if (requested_.exchange(false)) return true;
    const Clock::time_point now = Clock::now();
    if (schedule_.QuietTimeEnded(now)) schedule_.OnQuietTimeEnd(now, monitor_->Take());
    if (schedule_.IsDue(now)) return true;
    WaitForEvents(schedule_.wake_time(), /*hints=*/monitor_.has_value() && !schedule_.hinted());
  }
}

void CatalogWatcher::WaitForEvents(std::optional<Clock::time_point> until, bool hints) {
  std::array<pollfd, 2> events = {pollfd{wake_.get(), POLLIN, 0}, pollfd{hints ? monitor_->fd() : -1, POLLIN, 0}};
  timespec timeout = {};
  if (until) {
    const auto left = std::max(Clock::duration::zero(), *until - Clock::now());
    timeout.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(left).count();
    timeout.tv_nsec = (left % std::chrono::seconds(1)).count();
  }
  if (::ppoll(events.data(), events.size(), until ? &timeout : nullptr, nullptr) <= 0) return;
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t taken = ::read(wake_.get(), &count, sizeof(count));
  if (events[1].revents != 0 && monitor_->Take()) schedule_.OnHint(Clock::now());
}

void CatalogWatcher::Scan() {
  const std::shared_ptr<const Catalog> before = current_.Get();
  const Clock::time_point started = Clock::now();
  const absl::StatusOr<std::shared_ptr<const Catalog>> after =
      Catalog::Reload(root_, before, {.verify = options_.verify, .stop = ending_.get_token()});
  if (absl::IsCancelled(after.status())) return;
  const Clock::time_point ended = Clock::now();
  schedule_.OnScan(ended, ended - started);
  metrics_.CountScan(ended - started);
  if (!after.ok()) metrics_.CountFault(Fault::kScan);
  std::string error(after.status().message());
  if (error != scan_error_) {
    if (!after.ok()) LogError("root cannot be scanned, serving previous models", {{"root", root_}, {"error", error}});
    if (after.ok()) LogInfo("root can be scanned again", {{"root", root_}});
    scan_error_ = std::move(error);
  }
  if (!after.ok() || *after == before) return;
  current_.Publish(*after);
  metrics_.CountModelLoadErrors(LogChanges(root_, *before, **after, ended - started));
  WatchDirectories();
}

void CatalogWatcher::WatchDirectories() {
  if (!monitor_) return;
  std::set<std::string> paths;
  for (const std::string& directory : current_.Get()->directories()) {
    paths.insert(directory == "." ? root_ : root_ + '/' + directory);
  }
  const absl::StatusOr<bool> is_new = monitor_->Watch(root_, paths);
  // Changes between the scan and the watch were missed.
  if (!is_new.ok() || *is_new) schedule_.OnHint(Clock::now());
  if (is_new.ok() || !monitor_error_.empty()) return;
  monitor_error_ = std::string(is_new.status().message());
  LogWarning("cannot watch all of the root, some changes are found by --scan-interval and SIGHUP only",
             {{"error", monitor_error_}});
}

}  // namespace tensorferry::server
