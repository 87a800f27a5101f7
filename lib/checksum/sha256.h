// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_CHECKSUM_SHA256_H_
#define TENSORFERRY_LIB_CHECKSUM_SHA256_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace tensorferry {

// A SHA-256 of data that comes in pieces (OpenSSL's, which gRPC brings along). Not safe for concurrent use.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  ~Sha256();

  void Add(std::span<const std::byte> data);
  // Adds the size of `text` and `text`, so that texts that follow each other cannot be divided in another way.
  void AddText(std::string_view text);
  // Returns the digest of all that was added, in lower-case hexadecimal. To be called once.
  std::string Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CHECKSUM_SHA256_H_
