// SPDX-License-Identifier: Apache-2.0
#include "lib/catalog/model_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/files/file_io.h"
#include "lib/text/quote.h"
#include "tensorferry/safetensors/index.h"

namespace tensorferry {
namespace {

using Kind = ModelFile::Kind;
using ModelOr = absl::StatusOr<std::shared_ptr<const Model>>;

constexpr std::string_view kTensorsSuffix = ".safetensors";
constexpr std::string_view kIndexSuffix = ".safetensors.index.json";
constexpr std::array<std::string_view, 4> kCompanionSuffixes = {".json", ".txt", ".model", ".jinja"};

// Returns the files of a directory that form models.
std::map<std::string, Kind, std::less<>> FilesOfModels(const RootDirectory::Listing& listing) {
  std::map<std::string, Kind, std::less<>> files;
  bool serves = false;
  for (const std::string& name : listing.files) {
    if (name.ends_with(kTensorsSuffix)) {
      files.emplace_hint(files.end(), name, Kind::kSafetensors);
      serves = true;
    } else if (name.ends_with(kIndexSuffix)) {
      files.emplace_hint(files.end(), name, Kind::kIndex);
      serves = true;
    } else if (std::ranges::any_of(kCompanionSuffixes, [&](std::string_view s) { return name.ends_with(s); })) {
      files.emplace_hint(files.end(), name, Kind::kCompanion);
    }
  }
  // Companions alone do not form a model.
  if (!serves) files.clear();
  return files;
}

absl::StatusOr<safetensors::WeightMap> ReadIndex(const MappedFile& file, const safetensors::Limits& limits) {
  // Limits the size of the read; ParseIndex has the same limit.
  if (file.size_bytes() > limits.header_bytes) {
    return absl::DataLossError(
        fmt::format("index is {} bytes long; the limit is {}", file.size_bytes(), limits.header_bytes));
  }
  std::string json(static_cast<std::size_t>(file.size_bytes()), '\0');
  const absl::Status status = ReadExactly(file.fd(), 0, std::as_writable_bytes(std::span(json)), file.path());
  if (!status.ok()) return status;
  return safetensors::ParseIndex(json, limits);
}

// Returns a model of these files: `before`, if it consists of the same files.
ModelOr MakeModel(std::vector<ModelFile> files, const safetensors::WeightMap* weight_map, const ModelOr* before) {
  std::ranges::sort(files, {}, &ModelFile::name);
  const auto same = [](const ModelFile& a, const ModelFile& b) {
    return a.name == b.name && a.file == b.file && a.digest == b.digest;
  };
  if (before != nullptr && before->ok() && std::ranges::equal(files, (**before)->files(), same)) return *before;
  return Model::Create(std::move(files), weight_map);
}

// Returns the model of a directory: its safetensors files (if there is an index, those that it names), the index and
// the companions. Errors: why it cannot be served, naming the file.
ModelOr MakeWhole(const std::string& directory, const LoadedFiles& loaded, const safetensors::Limits& limits,
                  const ModelOr* before) {
  const auto path_of = [&](const std::string& name) { return Quote(JoinPath(directory, name)); };
  std::vector<ModelFile> files;
  std::set<std::string, std::less<>> wanted;
  const std::string* index_name = nullptr;
  for (const auto& [name, file] : loaded) {
    if (file->kind == Kind::kSafetensors) wanted.insert(name);
    // If a companion cannot be read, the tensors are served without it.
    if (file->kind == Kind::kCompanion && file->file.ok()) files.push_back(*file->file);
    if (file->kind != Kind::kIndex) continue;
    if (index_name != nullptr) {
      return absl::DataLossError(fmt::format("there are two indexes: {} and {}", path_of(*index_name), path_of(name)));
    }
    index_name = &name;
  }

  safetensors::WeightMap weight_map;
  if (index_name != nullptr) {
    const absl::StatusOr<ModelFile>& index = loaded.at(*index_name)->file;
    if (!index.ok()) return index.status();
    absl::StatusOr<safetensors::WeightMap> parsed = ReadIndex(*index->file, limits);
    if (!parsed.ok()) {
      return absl::Status(parsed.status().code(),
                          fmt::format("file {}: {}", path_of(*index_name), std::string(parsed.status().message())));
    }
    weight_map = *std::move(parsed);
    wanted.clear();
    for (const auto& [tensor, file] : weight_map) wanted.insert(file);
    files.push_back(*index);
  }
  for (const std::string& name : wanted) {
    const auto file = loaded.find(name);
    if (file == loaded.end()) {
      return absl::DataLossError(fmt::format("file {}, which the index names, does not exist", path_of(name)));
    }
    if (!file->second->file.ok()) return file->second->file.status();
    files.push_back(*file->second->file);
  }
  return MakeModel(std::move(files), index_name != nullptr ? &weight_map : nullptr, before);
}

ModelOr MakeFileModel(const LoadedFile& loaded, const ModelOr* before) {
  if (!loaded.file.ok()) return loaded.file.status();
  return MakeModel({*loaded.file}, nullptr, before);
}

// Keeps in `scanned` the versions that `before` has of names that are gone.
void KeepGone(const ScannedDirectory& before, ScannedDirectory& scanned) {
  const auto keep = [&](const std::string& name, const FileVersions& versions) {
    if (scanned.files.contains(name)) return;
    FileVersions open = OpenVersions(versions, 0);
    if (!open.empty()) scanned.gone.emplace(name, std::move(open));
  };
  for (const auto& [name, file] : before.files) keep(name, file->versions);
  for (const auto& [name, versions] : before.gone) keep(name, versions);
}

}  // namespace

std::shared_ptr<const ScannedDirectory> LoadDirectory(FileLoader& loader, const std::string& directory,
                                                      const RootDirectory::Listing& listing,
                                                      const std::shared_ptr<const ScannedDirectory>& before) {
  auto scanned = std::make_shared<ScannedDirectory>();
  scanned->id = listing.id;
  // Find all before the first one is opened: IsUpToDate relies on it.
  std::vector<FileToLoad> files;
  for (const auto& [name, kind] : FilesOfModels(listing)) {
    files.push_back(loader.Find(listing, directory, name, kind, before.get()));
  }
  scanned->files = loader.Load(files);
  if (before != nullptr && before->settled && before->id == scanned->id && before->files == scanned->files) {
    return before;
  }
  if (before != nullptr) KeepGone(*before, *scanned);
  if (scanned->files.empty()) return scanned;
  for (const auto& [name, file] : scanned->files) {
    if (file->kind != Kind::kSafetensors) continue;
    const ModelOr* model_before = nullptr;
    if (before != nullptr) {
      if (const auto found = before->file_models.find(name); found != before->file_models.end()) {
        model_before = &found->second;
      }
    }
    scanned->file_models.emplace_hint(scanned->file_models.end(), name, MakeFileModel(*file, model_before));
  }
  const bool has_before = before != nullptr && !before->files.empty();
  scanned->whole = MakeWhole(directory, scanned->files, loader.options().limits, has_before ? &before->whole : nullptr);
  return scanned;
}

bool IsUpToDate(const FileLoader& loader, const std::string& directory, const RootDirectory::Listing& listing,
                const ScannedDirectory& scanned) {
  if (listing.id != scanned.id) return false;
  const std::map<std::string, Kind, std::less<>> now = FilesOfModels(listing);
  return std::ranges::equal(now, scanned.files, [&](const auto& file, const auto& loaded) {
    if (file.first != loaded.first) return false;
    return loader.IsUpToDate(listing, directory, file.first, *loaded.second);
  });
}

}  // namespace tensorferry
