// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_TLS_PEM_H_
#define TENSORFERRY_LIB_TLS_PEM_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tensorferry {

// The largest PEM file that is read: enough for all public authorities.
inline constexpr std::int64_t kMaxPemBytes = 4 << 20;

// The text of a PEM file, with its path for messages.
struct Pem {
  std::string path;
  std::string text;
};

// Reads a file without parsing it. Errors: those of ReadSmallFile.
absl::StatusOr<Pem> ReadPem(const std::string& path);

// The period in which a certificate is valid.
struct Validity {
  absl::Time not_before;
  absl::Time not_after;
};

// Validates a certificate chain, leaf first, against its private key. Returns the validity of the leaf. gRPC itself
// reports only that handshakes fail.
// Errors: INVALID_ARGUMENT, with the file: no certificate, no key, one that cannot be parsed, an encrypted key, or a
// key that does not match the leaf.
absl::StatusOr<Validity> CheckKeyPair(const Pem& certificate, const Pem& private_key);

// Validates a file of certificate authorities.
// Errors: INVALID_ARGUMENT, with the file: no certificate, or one that cannot be parsed.
absl::Status CheckAuthorities(const Pem& authorities);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_TLS_PEM_H_
