// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_CATALOG_FILE_VERSION_H_
#define TENSORFERRY_LIB_CATALOG_FILE_VERSION_H_

#include <cstddef>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/files/mapped_file.h"

namespace tensorferry {

// The present contents of a name, or earlier ones.
struct FileVersion {
  FileIdentity identity;
  std::string sampled_digest;
  // The sampled digest; if a version with the same samples and other bytes came before, the replaced digest.
  std::string digest;
  // Not owned: a version is closed as soon as nobody serves it.
  std::weak_ptr<const MappedFile> file;
};

// The known versions of a safetensors file under one name, the newest first. An older one is known only while it is
// open: in a model that is served because its replacement is bad, or in a stream.
using FileVersions = std::vector<FileVersion>;

// Returns `versions` with `newest` in front, and without another version of the same file.
FileVersions AddVersion(FileVersion newest, const FileVersions& versions);

// Returns the first `kept` versions, and those of the others that are open.
FileVersions OpenVersions(const FileVersions& versions, std::size_t kept);

// Returns the digest of `file` under a name that had these versions. It depends on the newest version with the same
// sampled digest:
//
//   that version is                             | digest
//   --------------------------------------------+---------------------------------------------------
//   not known                                   | the sampled digest
//   the same file, unchanged                    | that of the version
//   open, unchanged, and equal in every byte    | that of the version
//   open, unchanged, and different              | made of the sampled digest and the file's SHA-256
//   written to, or closed: its bytes are gone   | made of the sampled digest and the file's SHA-256
//
// The block checksums of a file do not show its bytes before a write: some may have been taken afterwards.
//
// `sha256` is that of the file, or empty: then it is set if it has to be computed.
// Errors: those of reading the file; ABORTED: it changed meanwhile; CANCELLED: `stop`.
absl::StatusOr<std::string> DigestAfter(const FileVersions& versions, const MappedFile& file,
                                        const std::string& sampled_digest, std::string& sha256,
                                        const std::stop_token& stop);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CATALOG_FILE_VERSION_H_
