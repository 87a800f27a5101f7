// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "lib/catalog/file_digest.h"
#include "lib/catalog/file_loader.h"
#include "lib/catalog/known_digest.h"
#include "lib/catalog/model_loader.h"
#include "lib/catalog/root_directory.h"
#include "lib/catalog/scanned_directory.h"
#include "lib/text/quote.h"
#include "tensorferry/safetensors/model.h"

namespace tensorferry {

absl::StatusOr<std::shared_ptr<const Model>> Model::Open(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) {
    absl::StatusOr<std::shared_ptr<const SafetensorsFile>> tensors = SafetensorsFile::Open(path);
    if (!tensors.ok()) return tensors.status();
    absl::StatusOr<std::string> digest = SampledDigest(**tensors);
    if (!digest.ok()) return digest.status();
    return Create({ModelFile{.name = std::filesystem::path(path).filename().string(),
                             .kind = ModelFile::Kind::kSafetensors,
                             .digest = *std::move(digest),
                             .file = (*tensors)->file(),
                             .tensors = *tensors}},
                  nullptr);
  }
  const absl::StatusOr<RootDirectory> root = RootDirectory::Open(path);
  if (!root.ok()) return root.status();
  const absl::StatusOr<RootDirectory::Listing> listing = root->List(".");
  if (!listing.ok()) return listing.status();
  const LoadOptions options;
  const ScannedDirectories nothing;
  FileLoader loader(*root, options, nothing);
  const std::shared_ptr<const ScannedDirectory> scanned = LoadDirectory(loader, ".", *listing, nullptr);
  if (scanned->files.empty()) {
    return absl::NotFoundError(fmt::format("there is no safetensors file in {}", Quote(path)));
  }
  return scanned->whole;
}

}  // namespace tensorferry
