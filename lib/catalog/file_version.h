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

// Contents that a name has, or had.
struct FileVersion {
  FileIdentity identity;
  std::string sampled_digest;
  // The sampled digest, or one that differs from that of the version before although the samples do not.
  std::string digest;
  // Not owned: a version that nobody serves any more is not kept open.
  std::weak_ptr<const MappedFile> file;
};

// The versions of a safetensors file that are known under one name, the newest first. An older one is known only while
// somebody has it open: a model that is served because its replacement is bad, or a stream.
using FileVersions = std::vector<FileVersion>;

// Returns `versions` with `newest` in front. If the same file is among them already, it moves there.
FileVersions AddVersion(FileVersion newest, const FileVersions& versions);

// Returns `versions` without those, after the first `kept`, that nobody has open.
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
// The block checksums that a file keeps are no evidence of what it was before it was written to: some may have been
// taken afterwards.
//
// `sha256` is that of the file, or empty; it is set if it had to be computed.
// Errors: those of reading the file; ABORTED: it changed meanwhile; CANCELLED: `stop`.
absl::StatusOr<std::string> DigestAfter(const FileVersions& versions, const MappedFile& file,
                                        const std::string& sampled_digest, std::string& sha256,
                                        const std::stop_token& stop);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CATALOG_FILE_VERSION_H_
