// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_MODEL_INFO_H_
#define TENSORFERRY_MODEL_INFO_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace tensorferry {

// A model under a server's root.
struct ModelInfo {
  // The path relative to the root; "." is the root itself.
  std::string name;
  // Whether it can be fetched from; if not, `reason` says why and the rest is unset. If so, `reason` says why what has
  // taken the model's place on the server cannot be fetched, or nothing.
  bool ready = false;
  std::string reason;
  // The token for the model's exact bytes, equal on every server that holds equal bytes.
  std::string generation;
  std::int64_t tensor_count = 0;
  std::int64_t file_count = 0;
  // The bytes of all tensors together.
  std::int64_t size_bytes = 0;
};

// A file of a model.
struct FileInfo {
  enum class Kind { kSafetensors, kIndex, kCompanion };

  // The name within the model's directory: never a path.
  std::string name;
  Kind kind = Kind::kCompanion;
  std::int64_t size_bytes = 0;
  // A token for this file's bytes, equal wherever the bytes are equal.
  std::string fingerprint;
  // The `__metadata__` of a safetensors file.
  std::map<std::string, std::string> metadata;
};

// What a model is made of.
struct ModelMetadata {
  ModelInfo model;
  // Ordered by name.
  std::vector<FileInfo> files;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_MODEL_INFO_H_
