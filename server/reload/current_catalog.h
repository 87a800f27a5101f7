// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_RELOAD_CURRENT_CATALOG_H_
#define TENSORFERRY_SERVER_RELOAD_CURRENT_CATALOG_H_

#include <memory>
#include <mutex>
#include <utility>

#include "lib/catalog/catalog.h"

namespace tensorferry::server {

// The catalog that is served now. Whoever needs it for more than one step takes it once and keeps it.
// Safe for concurrent use by multiple threads. A mutex, because ThreadSanitizer does not understand the
// std::atomic<std::shared_ptr> of GCC 12.
class CurrentCatalog {
 public:
  explicit CurrentCatalog(std::shared_ptr<const Catalog> catalog) : catalog_(std::move(catalog)) {}

  std::shared_ptr<const Catalog> Get() const {
    const std::lock_guard lock(mutex_);
    return catalog_;
  }

  void Publish(std::shared_ptr<const Catalog> catalog) {
    {
      const std::lock_guard lock(mutex_);
      catalog_.swap(catalog);
    }
    // The old one goes here, if nobody uses it, and not under the lock: unmapping its files may take a while.
    catalog.reset();
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Catalog> catalog_;  // guarded by mutex_
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_RELOAD_CURRENT_CATALOG_H_
