// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "lib/storage/file_loader.h"
#include "lib/storage/fingerprint.h"
#include "lib/storage/known_digest.h"
#include "lib/storage/model_loader.h"
#include "lib/storage/root_directory.h"
#include "lib/storage/scanned_directory.h"
#include "tensorferry/files/file_io.h"
#include "tensorferry/quote.h"
#include "tensorferry/storage/model.h"

namespace tensorferry {

absl::StatusOr<std::shared_ptr<const Model>> Model::Open(const std::string& path) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) {
    absl::StatusOr<std::shared_ptr<const SafetensorsFile>> tensors = SafetensorsFile::Open(path);
    if (!tensors.ok()) return tensors.status();
    absl::StatusOr<std::string> fingerprint = SampledFingerprint(**tensors);
    if (!fingerprint.ok()) return fingerprint.status();
    const std::string name = std::filesystem::path(path).filename().string();
    const absl::StatusOr<std::string> sums = ReadSmallFile(SumFileOf(path), kMaxSumFileBytes);
    std::string known = sums.ok() ? DigestInSumFile(*sums, name) : std::string();
    if (known.empty()) known = DigestInBlobPath(RootDirectory::RealPath(*(*tensors)->file()));
    return Create({ModelFile{.name = name,
                             .kind = ModelFile::Kind::kSafetensors,
                             .fingerprint = WithKnownDigest(*fingerprint, known),
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
