// SPDX-License-Identifier: Apache-2.0
#include "lib/catalog/known_digest.h"

#include <algorithm>
#include <cstddef>

namespace tensorferry {
namespace {

constexpr std::size_t kDigestSize = 64;

// Returns `text` in lower case if it is a SHA-256 in hexadecimal, else an empty string.
std::string AsDigest(std::string_view text) {
  std::string digest(text);
  for (char& c : digest) {
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
  }
  const bool is_hex = digest.find_first_not_of("0123456789abcdef") == std::string::npos;
  return digest.size() == kDigestSize && is_hex ? digest : std::string();
}

std::string_view LastPart(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::string_view WithoutEnd(std::string_view line) {
  const std::size_t last = line.find_last_not_of(" \t\r");
  return line.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

}  // namespace

std::string DigestInSumFile(std::string_view text, std::string_view file_name) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = WithoutEnd(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    std::string digest = AsDigest(line.substr(0, kDigestSize));
    if (digest.empty()) continue;
    std::string_view name = line.substr(kDigestSize);
    if (name.empty()) return digest;
    // The separator is a space, and a space or an asterisk.
    if (name.size() > 2 && name[0] == ' ' && LastPart(name.substr(2)) == file_name) return digest;
  }
  return {};
}

std::string DigestInBlobPath(std::string_view path) {
  const std::string_view name = LastPart(path);
  const std::string_view folder = path.substr(0, path.size() - name.size());
  return folder.ends_with("/blobs/") ? AsDigest(name) : std::string();
}

}  // namespace tensorferry
