// SPDX-License-Identifier: Apache-2.0
#include "server/security/secret_digest.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

namespace tensorferry::server {

SecretDigest::SecretDigest(std::string_view secret) {
  static_assert(sizeof(digest_) == SHA256_DIGEST_LENGTH);
  SHA256(reinterpret_cast<const unsigned char*>(secret.data()), secret.size(), digest_.data());
}

bool operator==(const SecretDigest& a, const SecretDigest& b) {
  return CRYPTO_memcmp(a.digest_.data(), b.digest_.data(), a.digest_.size()) == 0;
}

}  // namespace tensorferry::server
