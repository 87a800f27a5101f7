// SPDX-License-Identifier: Apache-2.0
#include "lib/catalog/file_version.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lib/catalog/file_digest.h"
#include "lib/files/file_io.h"

namespace tensorferry {
namespace {

// Returns true if all bytes of `previous` can still be read, and equal those of `file`.
// Errors: those of reading `file`; ABORTED: it changed meanwhile; CANCELLED: `stop`.
absl::StatusOr<bool> EqualsIntact(const MappedFile& previous, const MappedFile& file, const std::stop_token& stop) {
  constexpr std::int64_t kPieceBytes = 1 << 20;
  if (previous.size_bytes() != file.size_bytes() || !previous.CheckUnchanged().ok()) return false;
  std::vector<std::byte> before(static_cast<std::size_t>(std::min(kPieceBytes, file.size_bytes())));
  std::vector<std::byte> now(before.size());
  for (std::int64_t offset = 0; offset < file.size_bytes(); offset += kPieceBytes) {
    if (stop.stop_requested()) return absl::CancelledError("stopped");
    const auto size = static_cast<std::size_t>(std::min(kPieceBytes, file.size_bytes() - offset));
    const std::span<std::byte> piece = std::span(now).first(size);
    const std::span<std::byte> piece_before = std::span(before).first(size);
    if (absl::Status status = ReadExactly(file.fd(), offset, piece, file.path()); !status.ok()) return status;
    if (!ReadExactly(previous.fd(), offset, piece_before, previous.path()).ok()) return false;
    if (std::memcmp(now.data(), before.data(), size) != 0) return false;
  }
  if (absl::Status status = CheckUnchangedInLoad(file); !status.ok()) return status;
  return previous.CheckUnchanged().ok();
}

}  // namespace

FileVersions AddVersion(FileVersion newest, const FileVersions& versions) {
  FileVersions known = versions;
  std::erase_if(known, [&](const FileVersion& version) { return version.identity == newest.identity; });
  known.insert(known.begin(), std::move(newest));
  return known;
}

FileVersions OpenVersions(const FileVersions& versions, std::size_t kept) {
  FileVersions open;
  for (const FileVersion& version : versions) {
    if (open.size() < kept || !version.file.expired()) open.push_back(version);
  }
  return open;
}

absl::StatusOr<std::string> DigestAfter(const FileVersions& versions, const MappedFile& file,
                                        const std::string& sampled_digest, std::string& sha256,
                                        const std::stop_token& stop) {
  const auto version = std::ranges::find(versions, sampled_digest, &FileVersion::sampled_digest);
  if (version == versions.end()) return sampled_digest;
  if (version->identity == file.identity()) return version->digest;
  if (const std::shared_ptr<const MappedFile> open = version->file.lock(); open != nullptr) {
    const absl::StatusOr<bool> equal = EqualsIntact(*open, file, stop);
    if (!equal.ok()) return equal.status();
    if (*equal) return version->digest;
  }
  if (sha256.empty()) {
    absl::StatusOr<std::string> computed = Sha256Of(file, stop);
    if (!computed.ok()) return computed.status();
    sha256 = *std::move(computed);
  }
  return ReplacedDigest(sampled_digest, sha256);
}

}  // namespace tensorferry
