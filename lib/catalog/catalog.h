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
// Names that begin with a dot are ignored.
class Catalog {
 public:
  struct Entry {
    // The model, or the reason why it cannot be served, which names the file.
    absl::StatusOr<std::shared_ptr<const Model>> model;
    // False for what ListModels leaves out: see proto/tensorferry/v1/tensor_service.proto.
    bool listed = true;
    // The reason why a replacement of `model` cannot be served; OK if there is none.
    absl::Status replacement;
  };
  // By the path relative to the root.
  using Entries = std::map<std::string, Entry, std::less<>>;

  // Scans `root`. A bad model is an entry with its reason, not an error.
  // Errors: those of opening and listing the root as a directory, with its path; CANCELLED: `options.stop`.
  static absl::StatusOr<std::shared_ptr<const Catalog>> Load(const std::string& root, const LoadOptions& options = {}) {
    return Reload(root, nullptr, options);
  }

  // Scans `root` again. Returns `previous`, which may be null, if nothing has changed. `options` must be those of
  // `previous`. Errors: as Load.
  //
  // - A file with the same device, inode, size and time of modification as in `previous` is not opened again, even
  // under
  //   another name. A scan takes one stat of a name.
  // - A model that cannot be served any more stays in the catalog, with the reason in `replacement`, as long as its
  // name
  //   exists and its files are intact: replaced or removed, but not written to.
  static absl::StatusOr<std::shared_ptr<const Catalog>> Reload(const std::string& root,
                                                               const std::shared_ptr<const Catalog>& previous,
                                                               const LoadOptions& options = {});

  const Entries& entries() const { return entries_; }

  // The numbers of listed models that can be served, and that cannot.
  struct Counts {
    std::int64_t ready = 0;
    std::int64_t failed = 0;
  };
  Counts CountListed() const;

  // The directories to watch for changes of the catalog, relative to the root. Links in them are not resolved.
  std::set<std::string> directories() const;

  // Returns the model of that name. Errors: NOT_FOUND: no such model; FAILED_PRECONDITION: it cannot be served, and
  // why.
  absl::StatusOr<std::shared_ptr<const Model>> Find(std::string_view name) const;

 private:
  Catalog() = default;

  // By the path relative to the root: the source of the entries.
  std::map<std::string, std::shared_ptr<const ScannedDirectory>, std::less<>> directories_;
  Entries entries_;
};

// The error of Find for a name that no model has. Also the error for a model that must stay hidden from a caller.
absl::Status NoSuchModel(std::string_view name);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CATALOG_CATALOG_H_
