// SPDX-License-Identifier: Apache-2.0
#include "lib/catalog/root_scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lib/catalog/file_loader.h"
#include "lib/catalog/model_loader.h"
#include "lib/text/quote.h"

namespace tensorferry {
namespace {

class Scanner {
 public:
  Scanner(const RootDirectory& root, const LoadOptions& options, const ScannedDirectories& before)
      : loader_(root, options, before), before_(before) {}

  absl::Status Scan(const std::string& directory) {
    if (loader_.options().stop.stop_requested()) return absl::CancelledError("the scan was stopped");
    absl::StatusOr<RootDirectory::Listing> listing = List(directory);
    if (!listing.ok()) return listing.status();
    // A link may lead back to a directory that is being scanned.
    if (std::ranges::find(above_, listing->id) != above_.end() || above_.size() == kMaxDepth) return absl::OkStatus();
    // With links to directories, a few of them can be reached by any number of paths.
    if (++directory_count_ > kMaxDirectories) {
      return absl::ResourceExhaustedError(fmt::format("the root has more than {} directories", kMaxDirectories));
    }
    if (absl::Status status = Load(directory, *listing); !status.ok()) return status;
    above_.push_back(listing->id);
    for (const std::string& name : listing->directories) {
      const std::string path = JoinPath(directory, name);
      if (absl::Status status = Scan(path); !status.ok()) Keep(path, std::move(status));
    }
    above_.pop_back();
    return absl::OkStatus();
  }

  RootScan Finish() && { return std::move(found_); }

 private:
  static constexpr std::size_t kMaxDepth = 64;
  static constexpr std::int64_t kMaxDirectories = 100'000;
  static constexpr int kLoadAttempts = 5;

  absl::StatusOr<RootDirectory::Listing> List(const std::string& directory) const {
    absl::StatusOr<RootDirectory::Listing> listing = loader_.root().List(directory);
    if (!listing.ok()) return listing;
    // Many volumes have a lost+found. It contains no models, and only root can read it.
    const auto unusable = [](const std::string& name) { return name == "lost+found" || !IsValidUtf8(name); };
    std::erase_if(listing->files, unusable);
    std::erase_if(listing->directories, unusable);
    return listing;
  }

  // Loads a directory again until all files were there at one time. Otherwise, a link that is swapped meanwhile could
  // give a model that mixes two versions. Sets `listing` to the last one.
  absl::Status Load(const std::string& directory, RootDirectory::Listing& listing) {
    const auto found = before_.find(directory);
    const std::shared_ptr<const ScannedDirectory> before = found == before_.end() ? nullptr : found->second;
    std::shared_ptr<const ScannedDirectory> scanned;
    for (int attempt = 0; attempt < kLoadAttempts; ++attempt) {
      scanned = LoadDirectory(loader_, directory, listing, before);
      // Files that have not changed belong together, as before.
      if (scanned == before || scanned->files.empty()) break;
      absl::StatusOr<RootDirectory::Listing> again = List(directory);
      if (!again.ok()) return again.status();
      listing = *std::move(again);
      if (IsUpToDate(loader_, directory, listing, *scanned)) break;
      if (attempt + 1 < kLoadAttempts) continue;
      auto unsettled = std::make_shared<ScannedDirectory>(*scanned);
      unsettled->settled = false;
      unsettled->whole =
          absl::AbortedError(fmt::format("directory {} changed again and again while it was loaded", Quote(directory)));
      scanned = std::move(unsettled);
    }
    found_.directories.insert_or_assign(directory, std::move(scanned));
    return absl::OkStatus();
  }

  // For a directory that cannot be listed: keeps the results of the scan before.
  void Keep(const std::string& directory, absl::Status status) {
    for (auto it = before_.lower_bound(directory); it != before_.end() && it->first.starts_with(directory); ++it) {
      if (IsInOrBeneath(it->first, directory)) found_.directories.insert_or_assign(it->first, it->second);
    }
    found_.unreadable.emplace(directory, std::move(status));
  }

  FileLoader loader_;
  const ScannedDirectories& before_;
  RootScan found_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> above_;
  std::int64_t directory_count_ = 0;
};

}  // namespace

absl::StatusOr<RootScan> ScanRoot(const RootDirectory& root, const LoadOptions& options,
                                  const ScannedDirectories& before) {
  Scanner scanner(root, options, before);
  if (absl::Status status = scanner.Scan("."); !status.ok()) return status;
  return std::move(scanner).Finish();
}

bool IsInOrBeneath(std::string_view path, std::string_view directory) {
  return path.starts_with(directory) && (path.size() == directory.size() || path[directory.size()] == '/');
}

}  // namespace tensorferry
