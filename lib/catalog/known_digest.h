// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_CATALOG_KNOWN_DIGEST_H_
#define TENSORFERRY_LIB_CATALOG_KNOWN_DIGEST_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace tensorferry {

// SHA-256s, in lower-case hexadecimal, that are known without reading the file. Each function returns an empty string
// if none is known.

// The file next to `file` that may have its digest, and the most bytes of it that are read: a larger one was not made
// by sha256sum for a model.
inline std::string SumFileOf(const std::string& file) { return file + ".sha256"; }
inline constexpr std::int64_t kMaxSumFileBytes = 64 << 10;

// Returns the digest that the text of a .sha256 file has for `file_name`: from a line of sha256sum (or shasum) that
// names it, in whatever folder, or from a line that is a digest alone.
std::string DigestInSumFile(std::string_view text, std::string_view file_name);

// Returns the digest that a Hugging Face cache's blob is named by. `path` is that of the file, all links resolved.
std::string DigestInBlobPath(std::string_view path);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CATALOG_KNOWN_DIGEST_H_
