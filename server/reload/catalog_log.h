// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_RELOAD_CATALOG_LOG_H_
#define TENSORFERRY_SERVER_RELOAD_CATALOG_LOG_H_

#include <chrono>
#include <cstdint>
#include <string>

#include "lib/catalog/catalog.h"

namespace tensorferry::server {

// Logs what a first scan of `root`, which took `time`, found: each model that cannot be served, with the reason, and
// how many can. Returns how many cannot.
std::int64_t LogCatalog(const std::string& root, const Catalog& catalog, std::chrono::duration<double> time);

// Logs what is different in a catalog from the one before it: a line for each model that was added, replaced, removed,
// or cannot be served, and one of what there is now, which a scan of `root` found in `time`. What was said of the one
// before is not said again. Returns how many it said of that they cannot be served, or replaced.
std::int64_t LogChanges(const std::string& root, const Catalog& before, const Catalog& after,
                        std::chrono::duration<double> time);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_RELOAD_CATALOG_LOG_H_
