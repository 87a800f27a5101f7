// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_CATALOG_WATCHER_H_
#define TENSORFERRY_SERVER_CATALOG_WATCHER_H_

#include <atomic>
#include <chrono>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "server/current_catalog.h"
#include "server/directory_watch.h"
#include "server/metrics/metrics.h"
#include "tensorferry/files/unique_fd.h"
#include "tensorferry/storage/load_options.h"

namespace tensorferry::server {

// Decides when a root is scanned again (by time, by hints of the system, on request) and publishes what is new, on a
// thread of its own, from when it is made until it is destroyed.
// Safe for concurrent use by multiple threads.
class CatalogWatcher {
 public:
  // Scans every `interval`, or less often if a scan takes long; with 0 only after hints and requests. `current` holds
  // what the first scan, with the same `verify`, found; it and `metrics` must outlive the watcher.
  CatalogWatcher(std::string root, Verify verify, std::chrono::seconds interval, CurrentCatalog& current,
                 Metrics& metrics);
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
  const Verify verify_;
  const std::chrono::seconds interval_;
  CurrentCatalog& current_;
  Metrics& metrics_;
  const UniqueFd wake_;  // an eventfd
  std::atomic<bool> requested_ = false;
  std::stop_source ending_;

  // Used by the thread only.
  std::optional<DirectoryWatch> watch_;
  bool hinted_ = false;
  Clock::duration scan_time_ = {};  // of the last scan
  std::string watch_error_;
  std::string scan_error_;

  std::thread thread_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_CATALOG_WATCHER_H_
