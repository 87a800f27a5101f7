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
  // True if the model can be fetched.
  bool ready = false;
  // The reason why a model that is not ready cannot be served. In that case all members below are unset.
  std::string error;
  // The reason why the replacement of a ready model cannot be served, so that the previous version is still served.
  // Otherwise empty.
  std::string replacement_error;
  // The token for the model's bytes, equal on every server that holds equal bytes.
  std::string generation;
  std::int64_t tensor_count = 0;
  std::int64_t file_count = 0;
  // The size of all tensors together.
  std::int64_t size_bytes = 0;
};

// A file of a model.
struct FileInfo {
  enum class Kind { kSafetensors, kIndex, kCompanion };

  // The name within the model's directory: never a path.
  std::string name;
  Kind kind = Kind::kCompanion;
  std::int64_t size_bytes = 0;
  // Like a generation, but for this file alone: equal bytes have equal digests on every server.
  std::string digest;
  // The `__metadata__` of a safetensors file.
  std::map<std::string, std::string> metadata;
};

// The files of a model, and its totals.
struct ModelMetadata {
  ModelInfo model;
  // One token over name, size and digest of all files.
  std::string tree_digest;
  // Ordered by name.
  std::vector<FileInfo> files;
};

// The reliable record of a file: the checksums of its blocks.
struct FileManifest {
  static constexpr std::int64_t kBlockBytes = std::int64_t{1} << 20;

  std::string name;
  std::string digest;
  std::int64_t size_bytes = 0;
  // The CRC-32C of each aligned MiB; the last block may be shorter.
  std::vector<std::uint32_t> block_crc32c;
  friend bool operator==(const FileManifest&, const FileManifest&) = default;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_MODEL_INFO_H_
