// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_STORAGE_CATALOG_H_
#define TENSORFERRY_STORAGE_CATALOG_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "tensorferry/safetensors/header.h"
#include "tensorferry/storage/model.h"

namespace tensorferry {

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
  };
  // By the path relative to the root.
  using Entries = std::map<std::string, Entry, std::less<>>;

  // Scans `root`. A bad model is an entry with its reason, not an error.
  // Errors: those of opening the root as a directory, with its path.
  static absl::StatusOr<std::shared_ptr<const Catalog>> Load(const std::string& root,
                                                             const safetensors::Limits& limits = {});

  const Entries& entries() const { return entries_; }

  // The model of that name. Errors: NOT_FOUND: no such model; FAILED_PRECONDITION: it cannot be served, and why.
  absl::StatusOr<std::shared_ptr<const Model>> Find(std::string_view name) const;

 private:
  Catalog() = default;

  Entries entries_;
};

// What Find fails with where there is no model of that name; also for a model that a caller is not to know of.
absl::Status NoSuchModel(std::string_view name);

}  // namespace tensorferry

#endif  // TENSORFERRY_STORAGE_CATALOG_H_
