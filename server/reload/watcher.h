// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_RELOAD_WATCHER_H_
#define TENSORFERRY_SERVER_RELOAD_WATCHER_H_

#include <atomic>
#include <chrono>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "lib/catalog/load_options.h"
#include "lib/files/unique_fd.h"
#include "server/metrics/metrics.h"
#include "server/reload/current_catalog.h"
#include "server/reload/directory_monitor.h"
#include "server/reload/scan_schedule.h"

namespace tensorferry::server {

// Options of a CatalogWatcher.
struct WatchOptions {
  Verify verify = Verify::kHeaders;
  // Time from one scan to the next; longer if a scan takes long. 0: scan only after hints of the system and requests.
  std::chrono::seconds interval = std::chrono::seconds(3);
};

// Scans a root again and again, on its own thread, and publishes each new catalog: by time and after hints of the
// system (ScanSchedule), and on request. Safe for concurrent use by multiple threads.
class CatalogWatcher {
 public:
  // Starts. `current` holds the result of the first scan, with the same options. It and `metrics` must outlive the
  // watcher.
  CatalogWatcher(std::string root, const WatchOptions& options, CurrentCatalog& current, Metrics& metrics);
  CatalogWatcher(const CatalogWatcher&) = delete;
  CatalogWatcher& operator=(const CatalogWatcher&) = delete;
  // Cancels a running scan.
  ~CatalogWatcher();

  // Requests a scan as soon as possible. Does not wait for it.
  void Request();

 private:
  using Clock = ScanSchedule::Clock;

  void Run();
  // Waits until a scan is due. Returns false if the watcher ends.
  bool WaitUntilDue();
  // Waits until `until` for a request, for the end of the watcher, and, if `hints`, for a hint.
  void WaitForEvents(std::optional<Clock::time_point> until, bool hints);
  void Scan();
  // Watches the directories of the current catalog.
  void WatchDirectories();
  void Wake();

  const std::string root_;
  const WatchOptions options_;
  CurrentCatalog& current_;
  Metrics& metrics_;
  const UniqueFd wake_;  // an eventfd
  std::atomic<bool> requested_ = false;
  std::stop_source ending_;

  // Used by the thread only.
  ScanSchedule schedule_;
  std::optional<DirectoryMonitor> monitor_;
  std::string monitor_error_;
  std::string scan_error_;

  std::thread thread_;  // the last member, so that it starts when all others are there
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_RELOAD_WATCHER_H_
