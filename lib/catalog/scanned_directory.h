// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_CATALOG_SCANNED_DIRECTORY_H_
#define TENSORFERRY_LIB_CATALOG_SCANNED_DIRECTORY_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "lib/catalog/file_version.h"
#include "lib/files/mapped_file.h"
#include "tensorferry/safetensors/model.h"

namespace tensorferry {

// The result of loading one file, and what the file was then. Immutable; later scans refer to it for as long as the
// file stays the same.
struct LoadedFile {
  // Nothing if the path led to no file.
  std::optional<FileIdentity> identity;
  ModelFile::Kind kind = ModelFile::Kind::kCompanion;
  // The .sha256 file next to it, if it mattered and there was one.
  std::optional<FileIdentity> sum_file;
  // Of all bytes, if they were read; in lower-case hexadecimal.
  std::string sha256;
  // Of safetensors: the digest without regard to earlier versions.
  std::string sampled_digest;
  // The file, or why it cannot be served.
  absl::StatusOr<ModelFile> file;
  // Of safetensors: what is known under this name. The first one is `file` or, if that cannot be served, what could be
  // served last.
  FileVersions versions;
  // True if loading may turn out differently though the file stays the same: it was not the contents that failed.
  bool try_again = false;
  // The directory that the file is in, relative to the root, if a symbolic link led there.
  std::string link_directory;
};

// By the name in the directory.
using LoadedFiles = std::map<std::string, std::shared_ptr<const LoadedFile>, std::less<>>;

// The result of a scan of one directory. Immutable; if the next scan finds the same files, it uses this again.
struct ScannedDirectory {
  // Device and inode.
  std::pair<std::uint64_t, std::uint64_t> id;
  // Everything in it that models are made of; empty if there is nothing to serve.
  LoadedFiles files;
  // The open versions of safetensors whose names are gone. What comes back under such a name replaces them.
  std::map<std::string, FileVersions, std::less<>> gone;
  // The model that each safetensors file is, by the name in the directory.
  std::map<std::string, absl::StatusOr<std::shared_ptr<const Model>>, std::less<>> file_models;
  // The model that all of them are; meaningful unless `files` is empty.
  absl::StatusOr<std::shared_ptr<const Model>> whole;
  // False if the files changed again and again while they were loaded, so that they may not belong together.
  bool settled = true;
};

// By the path relative to the root.
using ScannedDirectories = std::map<std::string, std::shared_ptr<const ScannedDirectory>, std::less<>>;

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CATALOG_SCANNED_DIRECTORY_H_
