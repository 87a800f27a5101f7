// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_CATALOG_KNOWN_DIGEST_H_
#define TENSORFERRY_LIB_CATALOG_KNOWN_DIGEST_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace tensorferry {

// SHA-256s, in lower-case hexadecimal, that are known without reading the file. A function that finds none returns an
// empty string.

// Returns the name of the file next to `file` that may have its digest. One of more than kMaxSumFileBytes is not read:
// sha256sum did not make it for a model.
inline std::string SumFileOf(const std::string& file) { return file + ".sha256"; }
inline constexpr std::int64_t kMaxSumFileBytes = 64 << 10;

// Returns the digest for `file_name` in the text of a .sha256 file: from a line of sha256sum (or shasum) that names it,
// in any folder, or from a line that consists of a digest.
std::string DigestInSumFile(std::string_view text, std::string_view file_name);

// Returns the digest in the name of a Hugging Face cache's blob. `path` is that of the file, with all links resolved.
std::string DigestInBlobPath(std::string_view path);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CATALOG_KNOWN_DIGEST_H_
