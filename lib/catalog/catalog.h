// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_CATALOG_CATALOG_H_
#define TENSORFERRY_LIB_CATALOG_CATALOG_H_

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/catalog/load_options.h"
#include "tensorferry/safetensors/model.h"

namespace tensorferry {

struct ScannedDirectory;

// All models under a root as they were when it was scanned: an immutable snapshot, replaced whole.
// Safe for concurrent use by multiple threads.
//
// Files are opened beneath the root only: symbolic links that stay inside it work, links that lead out of it do not.
// Names that begin with a dot are passed over.
class Catalog {
 public:
  struct Entry {
    // The model, or why it cannot be served: the message names the file.
    absl::StatusOr<std::shared_ptr<const Model>> model;
    // False for what ListModels leaves out: see proto/tensorferry/v1/tensor_service.proto.
    bool listed = true;
    // Not OK if `model` is what was there earlier, because what is there now cannot be served: why not.
    absl::Status replacement;
  };
  // By the path relative to the root.
  using Entries = std::map<std::string, Entry, std::less<>>;

  // Scans `root`. A bad model is an entry with its reason, not an error.
  // Errors: those of opening and listing the root as a directory, with its path; CANCELLED: `options.stop`.
  static absl::StatusOr<std::shared_ptr<const Catalog>> Load(const std::string& root, const LoadOptions& options = {}) {
    return Reload(root, nullptr, options);
  }

  // Scans `root` again. Files that are what they were in `previous` (device, inode, size and time of modification) are
  // not opened again, under whatever name they are now; `options` are to be those of `previous`. A model that cannot be
  // served any more stays what it was, with the reason in `replacement`, as long as its files are intact, that is, were
  // replaced or removed and not written to; unless its name is gone. Returns `previous` itself if nothing has changed.
  // `previous` may be null. Errors: as Load.
  static absl::StatusOr<std::shared_ptr<const Catalog>> Reload(const std::string& root,
                                                               const std::shared_ptr<const Catalog>& previous,
                                                               const LoadOptions& options = {});

  const Entries& entries() const { return entries_; }

  // How many of the listed models can be served, and how many cannot.
  struct Counts {
    std::int64_t ready = 0;
    std::int64_t failed = 0;
  };
  Counts CountListed() const;

  // The directories that a change of the catalog would show in, relative to the root; links are not resolved in them.
  std::set<std::string> directories() const;

  // The model of that name. Errors: NOT_FOUND: no such model; FAILED_PRECONDITION: it cannot be served, and why.
  absl::StatusOr<std::shared_ptr<const Model>> Find(std::string_view name) const;

 private:
  Catalog() = default;

  // By the path relative to the root: what the entries are made of.
  std::map<std::string, std::shared_ptr<const ScannedDirectory>, std::less<>> directories_;
  Entries entries_;
};

// The error of Find for a name that no model has; also for a model that a caller must not know of.
absl::Status NoSuchModel(std::string_view name);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CATALOG_CATALOG_H_
