// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_SECURITY_SECRET_DIGEST_H_
#define TENSORFERRY_SERVER_SECURITY_SECRET_DIGEST_H_

#include <array>
#include <string_view>

namespace tensorferry::server {

// The SHA-256 of a secret: enough to recognize it.
class SecretDigest {
 public:
  explicit SecretDigest(std::string_view secret);

  // Takes the same time for all digests.
  friend bool operator==(const SecretDigest& a, const SecretDigest& b);

 private:
  std::array<unsigned char, 32> digest_ = {};
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_SECURITY_SECRET_DIGEST_H_
