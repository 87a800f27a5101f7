// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_CATALOG_MODEL_LOADER_H_
#define TENSORFERRY_LIB_CATALOG_MODEL_LOADER_H_

#include <memory>
#include <string>

#include "lib/catalog/file_loader.h"
#include "lib/catalog/root_directory.h"
#include "lib/catalog/scanned_directory.h"

namespace tensorferry {

// Loads what one directory beneath a root holds: each of its files once, and the models made of them. `directory` is
// relative to the root; `before` is what an earlier scan made of it, or null. What has not changed since is taken over;
// if nothing has, `before` itself is returned.
std::shared_ptr<const ScannedDirectory> LoadDirectory(FileLoader& loader, const std::string& directory,
                                                      const RootDirectory::Listing& listing,
                                                      const std::shared_ptr<const ScannedDirectory>& before);

// Returns true if `listing`, which was taken after `scanned` was loaded, and its files say that `scanned` is still what
// the directory holds. Files that were opened one after another belong together only if this is so.
bool IsUpToDate(const FileLoader& loader, const std::string& directory, const RootDirectory::Listing& listing,
                const ScannedDirectory& scanned);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CATALOG_MODEL_LOADER_H_
