// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SAFETENSORS_MODEL_H_
#define TENSORFERRY_SAFETENSORS_MODEL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tensorferry/safetensors/file.h"
#include "tensorferry/safetensors/index.h"

namespace tensorferry {

class MappedFile;

// A file of a model.
struct ModelFile {
  enum class Kind { kSafetensors, kIndex, kCompanion };

  // The name within the model's directory.
  std::string name;
  Kind kind = Kind::kCompanion;
  // The token for the file's bytes. Of safetensors it is made of samples: see lib/README.md.
  std::string digest;
  std::shared_ptr<const MappedFile> file;
  // Only of kSafetensors.
  std::shared_ptr<const SafetensorsFile> tensors;
};

// The tensors of one file, or of a directory of files, under one set of names.
// Immutable; safe for concurrent use by multiple threads. Takes eight bytes a tensor beside its files' headers.
class Model {
 public:
  // Where a tensor is: valid while the model lives.
  struct TensorRef {
    const ModelFile* file = nullptr;
    safetensors::TensorView view;
  };

  // A model of `files`. With a `weight_map` its tensors are exactly those that the map names, each in the file that the
  // map says; without one they are all tensors of all files.
  // Errors: DATA_LOSS: a tensor that stands in two files (both are named), or that is not where the map says.
  static absl::StatusOr<std::shared_ptr<const Model>> Create(std::vector<ModelFile> files,
                                                             const safetensors::WeightMap* weight_map);

  // Opens the model at `path`, a safetensors file or a directory of them, with nothing around it.
  // Errors: NOT_FOUND: no safetensors file there; otherwise as SafetensorsFile::Open and Create.
  static absl::StatusOr<std::shared_ptr<const Model>> Open(const std::string& path);

  // Ordered by name.
  const std::vector<ModelFile>& files() const { return files_; }
  std::size_t tensor_count() const { return tensors_.size(); }
  std::int64_t safetensors_file_count() const;
  // The bytes of all tensors together.
  std::int64_t size_bytes() const { return size_bytes_; }
  // The token for the bytes of the safetensors files and the index. Equal bytes have equal generations, and different
  // bytes nearly always have different ones.
  const std::string& generation() const { return generation_; }
  // One token over name, size and digest of all files, the companions included.
  const std::string& tree_digest() const { return tree_digest_; }
  // Identifies what the safetensors files and the index are opened as. Two models have equal instances exactly if they
  // consist of the same MappedFiles; those of other processes never have.
  const std::string& instance() const { return instance_; }

  // The tensor with that place in the (bytewise) order of names.
  TensorRef tensor(std::size_t index) const;
  // The place of a tensor in that order, or nothing. O(log tensor_count).
  std::optional<std::size_t> Find(std::string_view name) const;
  // The place of the first tensor whose name is not less than `name`.
  std::size_t LowerBound(std::string_view name) const;
  // The file of that name, or null.
  const ModelFile* FindFile(std::string_view name) const;

 private:
  struct Place {
    std::uint32_t file = 0;
    std::uint32_t tensor = 0;
  };

  Model() = default;

  std::vector<ModelFile> files_;
  std::vector<Place> tensors_;  // ordered by name
  std::int64_t size_bytes_ = 0;
  std::string generation_;
  std::string tree_digest_;
  std::string instance_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_SAFETENSORS_MODEL_H_
