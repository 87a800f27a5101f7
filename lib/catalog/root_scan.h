// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_CATALOG_ROOT_SCAN_H_
#define TENSORFERRY_LIB_CATALOG_ROOT_SCAN_H_

#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "lib/catalog/load_options.h"
#include "lib/catalog/root_directory.h"
#include "lib/catalog/scanned_directory.h"

namespace tensorferry {

// The result of a scan of a root.
struct RootScan {
  ScannedDirectories directories;
  // Directories that cannot be listed, and why. The results of an earlier scan in and beneath them are in
  // `directories`.
  std::map<std::string, absl::Status> unreadable;
};

// Scans everything beneath `root`. Directories that have not changed since the scan `before` are the same objects.
// Errors: those of listing the root itself.
absl::StatusOr<RootScan> ScanRoot(const RootDirectory& root, const LoadOptions& options,
                                  const ScannedDirectories& before);

// Returns true if `path` is `directory` or something beneath it; both are relative to a root.
bool IsInOrBeneath(std::string_view path, std::string_view directory);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CATALOG_ROOT_SCAN_H_
