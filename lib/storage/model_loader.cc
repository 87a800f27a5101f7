// SPDX-License-Identifier: Apache-2.0
#include "lib/storage/model_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>
#include <span>
#include <utility>

#include "lib/storage/fingerprint.h"
#include "tensorferry/files/file_io.h"
#include "tensorferry/quote.h"

namespace tensorferry {
namespace {

constexpr std::string_view kTensorsSuffix = ".safetensors";
constexpr std::string_view kIndexSuffix = ".safetensors.index.json";
constexpr std::array<std::string_view, 4> kCompanionSuffixes = {".json", ".txt", ".model", ".jinja"};

absl::StatusOr<ModelFile> LoadSafetensors(const RootDirectory& root, const std::string& path, const std::string& name,
                                          const safetensors::Limits& limits) {
  absl::StatusOr<std::shared_ptr<const MappedFile>> mapped = root.MapFile(path);
  if (!mapped.ok()) return mapped.status();
  absl::StatusOr<std::shared_ptr<const SafetensorsFile>> tensors = SafetensorsFile::Create(*mapped, limits);
  if (!tensors.ok()) return tensors.status();
  absl::StatusOr<std::string> fingerprint = SampledFingerprint(**tensors);
  if (!fingerprint.ok()) return fingerprint.status();
  return ModelFile{.name = name,
                   .kind = ModelFile::Kind::kSafetensors,
                   .fingerprint = *std::move(fingerprint),
                   .file = *std::move(mapped),
                   .tensors = *std::move(tensors)};
}

absl::StatusOr<safetensors::WeightMap> ReadIndex(const MappedFile& file, const safetensors::Limits& limits) {
  // Checked here too, so that no more than that is read.
  if (file.size_bytes() > limits.header_bytes) {
    return absl::DataLossError(
        fmt::format("index: it has {} bytes, the limit is {}", file.size_bytes(), limits.header_bytes));
  }
  std::string json(static_cast<std::size_t>(file.size_bytes()), '\0');
  const absl::Status status = ReadExactly(file.fd(), 0, std::as_writable_bytes(std::span(json)), file.path());
  if (!status.ok()) return status;
  return safetensors::ParseIndex(json, limits);
}

}  // namespace

ModelLoader::ModelLoader(const RootDirectory& root, std::string directory, const std::vector<std::string>& files,
                         const safetensors::Limits& limits)
    : root_(root), directory_(std::move(directory)), limits_(limits) {
  for (const std::string& name : files) {
    if (name.starts_with('.')) continue;
    if (name.ends_with(kTensorsSuffix)) {
      safetensors_.emplace(name, LoadSafetensors(root_, PathOf(name), name, limits_));
    } else if (name.ends_with(kIndexSuffix)) {
      index_names_.push_back(name);
    } else if (std::ranges::any_of(kCompanionSuffixes, [&](std::string_view s) { return name.ends_with(s); })) {
      companion_names_.push_back(name);
    }
  }
}

std::string ModelLoader::PathOf(std::string_view name) const {
  return directory_ == "." ? std::string(name) : fmt::format("{}/{}", directory_, name);
}

absl::StatusOr<ModelFile> ModelLoader::LoadWhole(const std::string& name, ModelFile::Kind kind) const {
  absl::StatusOr<std::shared_ptr<const MappedFile>> file = root_.MapFile(PathOf(name));
  if (!file.ok()) return file.status();
  absl::StatusOr<std::string> fingerprint = FullFingerprint(**file);
  if (!fingerprint.ok()) return fingerprint.status();
  return ModelFile{
      .name = name, .kind = kind, .fingerprint = *std::move(fingerprint), .file = *std::move(file), .tensors = nullptr};
}

absl::StatusOr<std::shared_ptr<const Model>> ModelLoader::LoadDirectory() const {
  std::vector<ModelFile> files;
  safetensors::WeightMap weight_map;
  std::set<std::string, std::less<>> wanted;
  if (index_names_.size() > 1) {
    return absl::DataLossError(fmt::format("there are two indexes: {} and {}", Quote(PathOf(index_names_[0])),
                                           Quote(PathOf(index_names_[1]))));
  }
  if (has_index()) {
    absl::StatusOr<ModelFile> index = LoadWhole(index_names_[0], ModelFile::Kind::kIndex);
    if (!index.ok()) return index.status();
    absl::StatusOr<safetensors::WeightMap> parsed = ReadIndex(*index->file, limits_);
    if (!parsed.ok()) {
      return absl::Status(parsed.status().code(), fmt::format("file {}: {}", Quote(PathOf(index_names_[0])),
                                                              std::string(parsed.status().message())));
    }
    weight_map = *std::move(parsed);
    for (const auto& [tensor, file] : weight_map) wanted.insert(file);
    files.push_back(*std::move(index));
  } else {
    for (const auto& [name, file] : safetensors_) wanted.insert(name);
  }
  for (const std::string& name : wanted) {
    const auto file = safetensors_.find(name);
    if (file == safetensors_.end()) {
      return absl::DataLossError(fmt::format("file {}, which the index names, does not exist", Quote(PathOf(name))));
    }
    if (!file->second.ok()) return file->second.status();
    files.push_back(*file->second);
  }
  for (const std::string& name : companion_names_) {
    absl::StatusOr<ModelFile> companion = LoadWhole(name, ModelFile::Kind::kCompanion);
    // A companion that cannot be read is no reason not to serve the tensors.
    if (companion.ok()) files.push_back(*std::move(companion));
  }
  return Model::Create(std::move(files), has_index() ? &weight_map : nullptr);
}

}  // namespace tensorferry
