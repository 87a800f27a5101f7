// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/storage/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "lib/storage/model_loader.h"
#include "lib/storage/root_directory.h"
#include "tensorferry/quote.h"

namespace tensorferry {
namespace {

// Walks a root and collects the models in it.
class Scanner {
 public:
  Scanner(const RootDirectory& root, const safetensors::Limits& limits, Catalog::Entries& entries)
      : root_(root), limits_(limits), entries_(entries) {}

  absl::Status Scan(const std::string& directory) {
    absl::StatusOr<RootDirectory::Listing> listing = root_.List(directory);
    if (!listing.ok()) return listing.status();
    // A link may lead back to a directory that is being scanned.
    if (std::ranges::find(above_, listing->id) != above_.end() || above_.size() == kMaxDepth) return absl::OkStatus();
    // Links to directories can make a few of them look like any number.
    if (++directory_count_ > kMaxDirectories) {
      return absl::ResourceExhaustedError(fmt::format("the root has more than {} directories", kMaxDirectories));
    }
    above_.push_back(listing->id);
    // lost+found is on many volumes, holds no models and can only be read by root.
    const auto unusable = [](const std::string& name) {
      return name.starts_with('.') || name == "lost+found" || !IsValidUtf8(name);
    };
    std::erase_if(listing->files, unusable);
    std::erase_if(listing->directories, unusable);

    AddModels(directory, listing->files);
    for (const std::string& name : listing->directories) {
      const std::string path = Join(directory, name);
      // What cannot be entered is shown with its reason.
      if (absl::Status status = Scan(path); !status.ok()) entries_.emplace(path, Catalog::Entry{status, true});
    }
    above_.pop_back();
    return absl::OkStatus();
  }

 private:
  static constexpr std::size_t kMaxDepth = 64;
  static constexpr std::int64_t kMaxDirectories = 100'000;

  static std::string Join(const std::string& directory, const std::string& name) {
    return directory == "." ? name : directory + '/' + name;
  }

  void AddModels(const std::string& directory, const std::vector<std::string>& files) {
    const ModelLoader loader(root_, directory, files, limits_);
    if (loader.empty()) return;
    const absl::StatusOr<std::shared_ptr<const Model>> whole = loader.LoadDirectory();
    for (const auto& [name, file] : loader.safetensors_files()) {
      const bool named_by_index = loader.has_index() && whole.ok() && (*whole)->FindFile(name) != nullptr;
      const bool only_file =
          whole.ok() && directory != "." && loader.safetensors_files().size() == 1 && !loader.has_index();
      entries_.emplace(Join(directory, name), Catalog::Entry{FileModel(file), !named_by_index && !only_file});
    }
    entries_.emplace(directory, Catalog::Entry{whole, true});
  }

  static absl::StatusOr<std::shared_ptr<const Model>> FileModel(const absl::StatusOr<ModelFile>& file) {
    if (!file.ok()) return file.status();
    return Model::Create({*file}, nullptr);
  }

  const RootDirectory& root_;
  const safetensors::Limits& limits_;
  Catalog::Entries& entries_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> above_;
  std::int64_t directory_count_ = 0;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const Catalog>> Catalog::Load(const std::string& root,
                                                             const safetensors::Limits& limits) {
  absl::StatusOr<RootDirectory> directory = RootDirectory::Open(root);
  if (!directory.ok()) return directory.status();
  const std::shared_ptr<Catalog> catalog(new Catalog());
  if (absl::Status status = Scanner(*directory, limits, catalog->entries_).Scan("."); !status.ok()) return status;
  return catalog;
}

absl::StatusOr<std::shared_ptr<const Model>> Catalog::Find(std::string_view name) const {
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) return NoSuchModel(name);
  const absl::StatusOr<std::shared_ptr<const Model>>& model = entry->second.model;
  if (model.ok()) return model;
  return absl::FailedPreconditionError(
      fmt::format("model {} cannot be served: {}", Quote(name), std::string(model.status().message())));
}

absl::Status NoSuchModel(std::string_view name) {
  return absl::NotFoundError(fmt::format("there is no model {} under the root", Quote(name)));
}

}  // namespace tensorferry
