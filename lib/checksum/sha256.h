// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_CHECKSUM_SHA256_H_
#define TENSORFERRY_LIB_CHECKSUM_SHA256_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace tensorferry {

// Computes a SHA-256 piece by piece, with OpenSSL. Not safe for concurrent use.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  ~Sha256();

  void Add(std::span<const std::byte> data);
  // Adds the size of `text` and `text` itself, so that AddText("a"), AddText("bc") differs from AddText("ab"),
  // AddText("c").
  void AddText(std::string_view text);
  // Returns the digest of everything added, in lower-case hexadecimal. Call it once, last.
  std::string Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CHECKSUM_SHA256_H_
