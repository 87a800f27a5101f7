// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_STORAGE_KNOWN_DIGEST_H_
#define TENSORFERRY_LIB_STORAGE_KNOWN_DIGEST_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace tensorferry {

// What a file's SHA-256 is said to be, in lower-case hexadecimal, by those who know it without reading the file. Each
// returns an empty string where nobody says.

// The file that may give the digest of `file`, beside it, and the most that it is read of: what is larger was not made
// by sha256sum for a model.
inline std::string SumFileOf(const std::string& file) { return file + ".sha256"; }
inline constexpr std::int64_t kMaxSumFileBytes = 64 << 10;

// The one that the text of a .sha256 file gives for `file_name`: a line of sha256sum (or shasum) that names it, in
// whatever folder, or a digest alone.
std::string DigestInSumFile(std::string_view text, std::string_view file_name);

// The one that a Hugging Face cache's blob is named by: `path` is where the file is once all links are resolved.
std::string DigestInBlobPath(std::string_view path);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_STORAGE_KNOWN_DIGEST_H_
