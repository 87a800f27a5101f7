// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/safetensors/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lib/checksum/sha256.h"
#include "lib/files/mapped_file.h"
#include "lib/safetensors/name_order.h"
#include "lib/text/quote.h"

namespace tensorferry {
namespace {

std::string GenerationOf(const std::vector<ModelFile>& files) {
  Sha256 digest;
  digest.AddText("tensorferry generation 1");
  for (const ModelFile& file : files) {
    if (file.kind == ModelFile::Kind::kCompanion) continue;
    digest.AddText(file.name);
    digest.AddText(file.digest);
  }
  return digest.Finish();
}

std::string TreeDigestOf(const std::vector<ModelFile>& files) {
  Sha256 digest;
  digest.AddText("tensorferry tree 1");
  for (const ModelFile& file : files) {
    digest.AddText(file.name);
    digest.AddText(std::to_string(file.file->size_bytes()));
    digest.AddText(file.digest);
  }
  return digest.Finish();
}

std::string InstanceOf(const std::vector<ModelFile>& files) {
  std::vector<std::string_view> instances;
  for (const ModelFile& file : files) {
    if (file.kind != ModelFile::Kind::kCompanion) instances.push_back(file.file->instance());
  }
  // The names of the files are part of the generation.
  std::ranges::sort(instances);
  Sha256 digest;
  digest.AddText("tensorferry instance 1");
  for (const std::string_view instance : instances) digest.AddText(instance);
  return digest.Finish();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Model>> Model::Create(std::vector<ModelFile> files,
                                                           const safetensors::WeightMap* weight_map) {
  const std::shared_ptr<Model> model(new Model());
  std::ranges::sort(files, {}, &ModelFile::name);
  model->files_ = std::move(files);
  const std::vector<ModelFile>& ordered = model->files_;

  if (weight_map != nullptr) {
    for (const auto& [tensor, file_name] : *weight_map) {
      const ModelFile* file = model->FindFile(file_name);
      const std::optional<std::size_t> place =
          file == nullptr || file->tensors == nullptr ? std::nullopt : file->tensors->header().Find(tensor);
      if (!place) {
        return absl::DataLossError(fmt::format("index: weight_map places tensor {} in file {}, which does not have it",
                                               Quote(tensor), Quote(file_name)));
      }
      model->tensors_.push_back(
          {static_cast<std::uint32_t>(file - ordered.data()), static_cast<std::uint32_t>(*place)});
    }
  } else {
    for (std::uint32_t f = 0; f < ordered.size(); ++f) {
      if (ordered[f].tensors == nullptr) continue;
      const std::size_t count = ordered[f].tensors->header().tensor_count();
      for (std::uint32_t t = 0; t < count; ++t) model->tensors_.push_back({f, t});
    }
  }

  std::vector<std::string_view> names;
  names.reserve(model->tensors_.size());
  for (const Place& place : model->tensors_) {
    names.push_back(ordered[place.file].tensors->header().tensor(place.tensor).name);
  }
  const std::vector<std::uint32_t> order = safetensors::OrderOfNames(names);
  std::vector<Place> by_name;
  by_name.reserve(order.size());
  for (const std::uint32_t i : order) by_name.push_back(model->tensors_[i]);
  model->tensors_ = std::move(by_name);
  for (std::size_t i = 1; i < order.size(); ++i) {
    if (names[order[i]] != names[order[i - 1]]) continue;
    const auto file_of = [&](std::size_t place) { return Quote(ordered[model->tensors_[place].file].name); };
    return absl::DataLossError(fmt::format("duplicate tensor {}: in file {} and in file {}", Quote(names[order[i]]),
                                           file_of(i - 1), file_of(i)));
  }
  for (std::size_t i = 0; i < model->tensor_count(); ++i) model->size_bytes_ += model->tensor(i).view.size_bytes();
  model->generation_ = GenerationOf(ordered);
  model->tree_digest_ = TreeDigestOf(ordered);
  model->instance_ = InstanceOf(ordered);
  return model;
}

std::int64_t Model::safetensors_file_count() const {
  return std::ranges::count(files_, ModelFile::Kind::kSafetensors, &ModelFile::kind);
}

Model::TensorRef Model::tensor(std::size_t index) const {
  const Place& place = tensors_[index];
  const ModelFile& file = files_[place.file];
  return {&file, file.tensors->header().tensor(place.tensor)};
}

std::size_t Model::LowerBound(std::string_view name) const {
  const auto found = std::ranges::lower_bound(tensors_, name, {}, [this](const Place& place) {
    return files_[place.file].tensors->header().tensor(place.tensor).name;
  });
  return static_cast<std::size_t>(found - tensors_.begin());
}

std::optional<std::size_t> Model::Find(std::string_view name) const {
  const std::size_t index = LowerBound(name);
  if (index == tensors_.size() || tensor(index).view.name != name) return std::nullopt;
  return index;
}

const ModelFile* Model::FindFile(std::string_view name) const {
  const auto found = std::ranges::lower_bound(files_, name, {}, &ModelFile::name);
  return found == files_.end() || found->name != name ? nullptr : &*found;
}

}  // namespace tensorferry
