// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_CATALOG_FILE_DIGEST_H_
#define TENSORFERRY_LIB_CATALOG_FILE_DIGEST_H_

#include <cstdint>
#include <stop_token>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "lib/files/mapped_file.h"
#include "tensorferry/safetensors/file.h"

namespace tensorferry {

// The samples of a tensor: four runs, spread evenly, that include the first and the last bytes. A tensor of up to
// kMaxWholeSampleBytes is sampled whole.
inline constexpr std::int64_t kSampleCount = 4;
inline constexpr std::int64_t kSampleBytes = 256;
inline constexpr std::int64_t kMaxWholeSampleBytes = kSampleCount * kSampleBytes;

// Returns a token for a safetensors file's bytes without reading all of them: "sampled-sha256:" and a SHA-256 of the
// size, the header, and samples of every tensor. It does not detect a change outside of these.
// Errors: those of reading the file.
absl::StatusOr<std::string> SampledDigest(const SafetensorsFile& file);

// Returns the digest of a safetensors file that replaced one with the same sampled digest and other bytes. `sha256` is
// that of the new file, in lower-case hexadecimal.
std::string ReplacedDigest(std::string_view sampled_digest, std::string_view sha256);

// Returns ABORTED, with the file's path, if a file that is being loaded has changed since it was opened.
absl::Status CheckUnchangedInLoad(const MappedFile& file);

// Returns the SHA-256 of all bytes of a file, in lower-case hexadecimal.
// Errors: those of reading the file; ABORTED: it changed meanwhile; CANCELLED: `stop`.
absl::StatusOr<std::string> Sha256Of(const MappedFile& file, const std::stop_token& stop);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CATALOG_FILE_DIGEST_H_
