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
namespace {

// Files come in groups: a scan waits until nothing more happens, but not for ever.
constexpr std::chrono::milliseconds kQuiet(200);
constexpr std::chrono::seconds kLongestWait(2);
constexpr int kRestPerScan = 20;

}  // namespace

CatalogWatcher::CatalogWatcher(std::string root, const WatchOptions& options, CurrentCatalog& current, Metrics& metrics)
    : root_(std::move(root)),
      options_(options),
      current_(current),
      metrics_(metrics),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
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
  // Fails only if it has been woken very often already.
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof(one));
}

void CatalogWatcher::Run() {
  if (absl::StatusOr<DirectoryMonitor> watch = DirectoryMonitor::Create(); watch.ok()) {
    watch_.emplace(*std::move(watch));
    WatchDirectories();
  } else {
    LogWarning("changes of the root are found by --scan-interval and SIGHUP only", {{"error", watch.status()}});
  }
  while (WaitForReason()) Scan();
}

bool CatalogWatcher::WaitForReason() {
  std::optional<Clock::time_point> timer;
  // A root that takes long to scan is scanned less often: looking must not become what the server does.
  if (options_.interval.count() > 0)
    timer = Clock::now() + std::max<Clock::duration>(options_.interval, kRestPerScan * scan_time_);
  std::optional<Clock::time_point> first_hint;
  Clock::time_point quiet_at;
  while (true) {
    if (ending_.stop_requested()) return false;
    if (requested_.exchange(false)) return true;
    const Clock::time_point now = Clock::now();
    if (timer && now >= *timer) return true;
    if (!first_hint && std::exchange(hinted_, false)) {
      first_hint = now;
      quiet_at = now + kQuiet;
    }
    if (first_hint && now >= quiet_at) {
      if (!watch_->Take() || now - *first_hint >= kLongestWait) return true;
      quiet_at = now + kQuiet;
    }
    // After the first hint further ones are left waiting for a while, because there may be thousands.
    if (!first_hint) {
      WaitForEvents(timer, watch_.has_value());
    } else {
      WaitForEvents(timer ? std::min(*timer, quiet_at) : quiet_at, false);
    }
  }
}

void CatalogWatcher::WaitForEvents(std::optional<Clock::time_point> until, bool hints) {
  std::array<pollfd, 2> events = {pollfd{wake_.get(), POLLIN, 0}, pollfd{hints ? watch_->fd() : -1, POLLIN, 0}};
  timespec timeout = {};
  if (until) {
    const auto left = std::max(Clock::duration::zero(), *until - Clock::now());
    timeout.tv_sec = std::chrono::duration_cast<std::chrono::seconds>(left).count();
    timeout.tv_nsec = (left % std::chrono::seconds(1)).count();
  }
  if (::ppoll(events.data(), events.size(), until ? &timeout : nullptr, nullptr) <= 0) return;
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t taken = ::read(wake_.get(), &count, sizeof(count));
  if (events[1].revents != 0 && watch_->Take()) hinted_ = true;
}

void CatalogWatcher::Scan() {
  const std::shared_ptr<const Catalog> before = current_.Get();
  const Clock::time_point started = Clock::now();
  const absl::StatusOr<std::shared_ptr<const Catalog>> after =
      Catalog::Reload(root_, before, {.verify = options_.verify, .stop = ending_.get_token()});
  if (absl::IsCancelled(after.status())) return;
  scan_time_ = Clock::now() - started;
  metrics_.CountScan(scan_time_);
  if (!after.ok()) metrics_.CountFault(Fault::kScan);
  std::string error(after.status().message());
  if (error != scan_error_) {
    if (!after.ok()) LogError("root cannot be scanned, what it had stays served", {{"root", root_}, {"error", error}});
    if (after.ok()) LogInfo("root can be scanned again", {{"root", root_}});
    scan_error_ = std::move(error);
  }
  if (!after.ok() || *after == before) return;
  current_.Publish(*after);
  metrics_.CountModelLoadErrors(LogChanges(root_, *before, **after, scan_time_));
  WatchDirectories();
}

void CatalogWatcher::WatchDirectories() {
  if (!watch_) return;
  std::set<std::string> paths;
  for (const std::string& directory : current_.Get()->directories()) {
    paths.insert(directory == "." ? root_ : root_ + '/' + directory);
  }
  const absl::StatusOr<bool> is_new = watch_->Watch(root_, paths);
  // What happened between the scan and the watch was not seen.
  hinted_ = hinted_ || !is_new.ok() || *is_new;
  if (is_new.ok() || !watch_error_.empty()) return;
  watch_error_ = std::string(is_new.status().message());
  LogWarning("some changes of the root are found by --scan-interval and SIGHUP only", {{"error", watch_error_}});
}

}  // namespace tensorferry::server
