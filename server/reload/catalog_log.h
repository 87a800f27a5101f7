// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_RELOAD_CATALOG_LOG_H_
#define TENSORFERRY_SERVER_RELOAD_CATALOG_LOG_H_

#include <chrono>
#include <cstdint>
#include <string>

#include "lib/catalog/catalog.h"

namespace tensorferry::server {

// Logs the result of the first scan of `root`, which took `time`: each model that cannot be served, with the reason,
// and the totals. Returns the number of models that cannot be served.
std::int64_t LogCatalog(const std::string& root, const Catalog& catalog, std::chrono::duration<double> time);

// Logs the differences between two catalogs of `root`: a line for each model that was added, replaced or removed, whose
// companion files were replaced, or that cannot be served, and a line with the totals. A reason that was logged for
// `before` is not logged again. `time` is the duration of the scan. Returns the number of logged reasons.
std::int64_t LogChanges(const std::string& root, const Catalog& before, const Catalog& after,
                        std::chrono::duration<double> time);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_RELOAD_CATALOG_LOG_H_
