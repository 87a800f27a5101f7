// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_STORAGE_MODEL_LOADER_H_
#define TENSORFERRY_LIB_STORAGE_MODEL_LOADER_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/storage/root_directory.h"
#include "tensorferry/safetensors/header.h"
#include "tensorferry/storage/model.h"

namespace tensorferry {

// Loads what one directory beneath a root holds: each of its safetensors files once, and the models made of them.
class ModelLoader {
 public:
  // `directory` is relative to the root ("." for the root itself), `files` are the names in it.
  ModelLoader(const RootDirectory& root, std::string directory, const std::vector<std::string>& files,
              const safetensors::Limits& limits);

  // Whether there is anything to serve here.
  bool empty() const { return safetensors_.empty() && index_names_.empty(); }

  // The safetensors files by name; each is loaded, or says why it cannot be.
  using Files = std::map<std::string, absl::StatusOr<ModelFile>, std::less<>>;
  const Files& safetensors_files() const { return safetensors_; }

  // The model that the directory is. Its files are the safetensors files (those that the index names, if there is one),
  // the index and the companions. Errors: why it cannot be served, naming the file.
  absl::StatusOr<std::shared_ptr<const Model>> LoadDirectory() const;

  // Whether the directory's index, if it has one, names `file`. Meaningful after LoadDirectory succeeded.
  bool has_index() const { return !index_names_.empty(); }

 private:
  std::string PathOf(std::string_view name) const;
  absl::StatusOr<ModelFile> LoadWhole(const std::string& name, ModelFile::Kind kind) const;

  const RootDirectory& root_;
  const std::string directory_;
  const safetensors::Limits& limits_;
  Files safetensors_;
  std::vector<std::string> index_names_;
  std::vector<std::string> companion_names_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_STORAGE_MODEL_LOADER_H_
