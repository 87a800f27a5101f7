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

// The most bytes of a tensor that are sampled whole, and the samples of a larger one: four runs, spread evenly, the
// first and the last bytes among them.
inline constexpr std::int64_t kSampleCount = 4;
inline constexpr std::int64_t kSampleBytes = 256;
inline constexpr std::int64_t kMaxWholeSampleBytes = kSampleCount * kSampleBytes;

// Returns a token for a safetensors file's bytes that does not need all of them: "sampled-sha256:" and a SHA-256 of the
// size, the header, and samples of every tensor. It cannot see a change that leaves all of these as they are.
// Errors: those of reading the file.
absl::StatusOr<std::string> SampledDigest(const SafetensorsFile& file);

// Returns a token for a file's bytes: "sha256:" and the file's SHA-256. Errors: as Sha256Of.
absl::StatusOr<std::string> FullDigest(const MappedFile& file, const std::stop_token& stop = {});

// Returns the digest of a safetensors file that replaced one of the same sampled digest and other bytes: it adds what
// samples cannot see. `sha256` is that of the new file, in lower-case hexadecimal.
std::string ReplacedDigest(std::string_view sampled_digest, std::string_view sha256);

// Returns ABORTED, with the file's path, if a file that is being loaded has changed since it was opened.
absl::Status CheckUnchangedInLoad(const MappedFile& file);

// Returns the SHA-256 of all bytes of a file, in lower-case hexadecimal.
// Errors: those of reading the file; ABORTED: it changed meanwhile; CANCELLED: `stop`.
absl::StatusOr<std::string> Sha256Of(const MappedFile& file, const std::stop_token& stop = {});

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CATALOG_FILE_DIGEST_H_
