// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_CATALOG_MODEL_LOADER_H_
#define TENSORFERRY_LIB_CATALOG_MODEL_LOADER_H_

#include <memory>
#include <string>

#include "lib/catalog/file_loader.h"
#include "lib/catalog/root_directory.h"
#include "lib/catalog/scanned_directory.h"

namespace tensorferry {

// Loads the files of one directory, each once, and the models made of them. `directory` is relative to the root.
// `before` is the result of the scan before, or null. Files and models that have not changed since are used again; if
// nothing has changed, returns `before` itself.
std::shared_ptr<const ScannedDirectory> LoadDirectory(FileLoader& loader, const std::string& directory,
                                                      const RootDirectory::Listing& listing,
                                                      const std::shared_ptr<const ScannedDirectory>& before);

// Returns true if the files of `scanned`, which the loader's last Load returned, were in the directory at one time.
// Files that were opened one after another belong together only then. `listing` must have been taken after the load.
bool IsUpToDate(const FileLoader& loader, const std::string& directory, const RootDirectory::Listing& listing,
                const ScannedDirectory& scanned);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CATALOG_MODEL_LOADER_H_
