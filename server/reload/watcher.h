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

namespace tensorferry::server {

// Options of a CatalogWatcher.
struct WatchOptions {
  Verify verify = Verify::kHeaders;
  // Time from one scan to the next; longer if a scan takes long. 0: scan only after hints of the system and requests.
  std::chrono::seconds interval = std::chrono::seconds(3);
};

// Decides when a root is scanned again (by time, by hints of the system, on request) and publishes what is new, on a
// thread of its own, from when it is made until it is destroyed.
// Safe for concurrent use by multiple threads.
class CatalogWatcher {
 public:
  // `current` holds the result of the first scan, with the same options. It and `metrics` must outlive the watcher.
  CatalogWatcher(std::string root, const WatchOptions& options, CurrentCatalog& current, Metrics& metrics);
  CatalogWatcher(const CatalogWatcher&) = delete;
  CatalogWatcher& operator=(const CatalogWatcher&) = delete;
  // Ends a scan that is running.
  ~CatalogWatcher();

  // Scans as soon as it can be. Does not wait for it.
  void Request();

 private:
  using Clock = std::chrono::steady_clock;

  void Run();
  // Waits until there is reason to scan. Returns false if there will be none, because the watcher is to end.
  bool WaitForReason();
  // Waits for a request, for the end, and with `hints` for a hint, but not longer than `until`.
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
  std::optional<DirectoryMonitor> watch_;
  bool hinted_ = false;
  Clock::duration scan_time_ = {};  // of the last scan
  std::string watch_error_;
  std::string scan_error_;

  std::thread thread_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_RELOAD_WATCHER_H_
