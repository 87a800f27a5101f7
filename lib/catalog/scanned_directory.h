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

// The result of loading one file, and the file's identity then. Immutable; later scans use it again until the file
// changes.
struct LoadedFile {
  // Absent if the path led to no file.
  std::optional<FileIdentity> identity;
  ModelFile::Kind kind = ModelFile::Kind::kCompanion;
  // The .sha256 file next to it, if it mattered and there was one.
  std::optional<FileIdentity> sum_file;
  // Of all bytes, in lower-case hexadecimal; empty if they were not read.
  std::string sha256;
  // Of safetensors: the digest, regardless of earlier versions.
  std::string sampled_digest;
  // The file, or why it cannot be served.
  absl::StatusOr<ModelFile> file;
  // Of safetensors: the versions known under this name. The first one is `file` or, if that cannot be served, the last
  // one that could be.
  FileVersions versions;
  // True if loading the same file again may succeed: the error was not in its contents.
  bool try_again = false;
  // The directory of the file, relative to the root, if a symbolic link led there.
  std::string link_directory;
};

// By the name in the directory.
using LoadedFiles = std::map<std::string, std::shared_ptr<const LoadedFile>, std::less<>>;

// The result of a scan of one directory. Immutable; the next scan uses it again if it finds the same files.
struct ScannedDirectory {
  // Device and inode.
  std::pair<std::uint64_t, std::uint64_t> id;
  // The files of its models; empty if there is nothing to serve.
  LoadedFiles files;
  // The open versions of safetensors whose names are gone. A file that comes back under such a name replaces them.
  std::map<std::string, FileVersions, std::less<>> gone;
  // The model of each safetensors file, by the name in the directory.
  std::map<std::string, absl::StatusOr<std::shared_ptr<const Model>>, std::less<>> file_models;
  // The model of all files; meaningless if `files` is empty.
  absl::StatusOr<std::shared_ptr<const Model>> whole;
  // False if the files may not belong together, because they changed in every attempt to load them.
  bool settled = true;
};

// By the path relative to the root.
using ScannedDirectories = std::map<std::string, std::shared_ptr<const ScannedDirectory>, std::less<>>;

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CATALOG_SCANNED_DIRECTORY_H_
