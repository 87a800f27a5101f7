// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_RELOAD_CURRENT_CATALOG_H_
#define TENSORFERRY_SERVER_RELOAD_CURRENT_CATALOG_H_

#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "lib/catalog/catalog.h"
#include "lib/sync/mutex.h"

namespace tensorferry::server {

// The catalog that is served now. A call that needs it for several steps gets it once and keeps it.
// Safe for concurrent use by multiple threads. Uses a mutex, because ThreadSanitizer does not understand the
// std::atomic<std::shared_ptr> of GCC 12.
class CurrentCatalog {
 public:
  explicit CurrentCatalog(std::shared_ptr<const Catalog> catalog) : catalog_(std::move(catalog)) {}

  std::shared_ptr<const Catalog> Get() const {
    const MutexLock lock(&mutex_);
    return catalog_;
  }

  void Publish(std::shared_ptr<const Catalog> catalog) {
    {
      const MutexLock lock(&mutex_);
      catalog_.swap(catalog);
    }
    // Outside the lock, because unmapping the files of the old catalog may take a while.
    catalog.reset();
  }

 private:
  mutable Mutex mutex_;
  std::shared_ptr<const Catalog> catalog_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_RELOAD_CURRENT_CATALOG_H_
