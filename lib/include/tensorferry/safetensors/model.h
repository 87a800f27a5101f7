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

  // The file's path relative to the model's directory.
  std::string name;
  Kind kind = Kind::kCompanion;
  // A token for the file's bytes. That of a safetensors file covers samples of its tensors: see lib/catalog/README.md.
  std::string digest;
  // The mapping. For our own programs: MappedFile has no public header.
  std::shared_ptr<const MappedFile> file;
  // The parsed file; null unless the kind is kSafetensors.
  std::shared_ptr<const SafetensorsFile> tensors;
};

// The tensors of one file or of a directory of files, ordered by name. Takes eight bytes per tensor in addition to the
// headers of its files. Immutable; safe for concurrent use by multiple threads.
class Model {
 public:
  // A tensor and its file. Valid while the model exists.
  struct TensorRef {
    const ModelFile* file = nullptr;
    safetensors::TensorView view;
  };

  // Creates a model of `files`. With a `weight_map`, its tensors are exactly those of the map, from the files of the
  // map. With null, they are all tensors of all files. Errors: DATA_LOSS, with the tensor and the files: a tensor is in
  // two files, or not in the file that the map names.
  static absl::StatusOr<std::shared_ptr<const Model>> Create(std::vector<ModelFile> files,
                                                             const safetensors::WeightMap* weight_map);

  // Opens the model at `path`: a safetensors file or a directory of them.
  // Errors: NOT_FOUND: no safetensors file there. Otherwise as SafetensorsFile::Open and Create.
  static absl::StatusOr<std::shared_ptr<const Model>> Open(const std::string& path);

  // The files, ordered by name.
  const std::vector<ModelFile>& files() const { return files_; }
  std::size_t tensor_count() const { return tensors_.size(); }
  std::int64_t safetensors_file_count() const;
  // The total size of the tensors.
  std::int64_t size_bytes() const { return size_bytes_; }
  // A token for the bytes of the safetensors files and the index. Equal bytes give equal generations. Different bytes
  // nearly always give different generations.
  const std::string& generation() const { return generation_; }
  // One token over name, size and digest of all files, the companions included.
  const std::string& tree_digest() const { return tree_digest_; }
  // Identifies this opening of the safetensors files and the index. Two models have equal instances only if they share
  // the open files, never if they are of different processes.
  const std::string& instance() const { return instance_; }

  // Returns the tensor with this index in the bytewise order of names.
  TensorRef tensor(std::size_t index) const;
  // Returns the index of a tensor in that order, or nothing. O(log tensor_count).
  std::optional<std::size_t> Find(std::string_view name) const;
  // Returns the index of the first tensor whose name is not less than `name`.
  std::size_t LowerBound(std::string_view name) const;
  // Returns the file of this name, or null.
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
