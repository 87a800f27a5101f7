// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_TLS_PEM_H_
#define TENSORFERRY_LIB_TLS_PEM_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tensorferry {

// What a PEM file may have at most: enough for every authority there is.
inline constexpr std::int64_t kMaxPemBytes = 4 << 20;

// Text in PEM and where it is from, for messages.
struct Pem {
  std::string path;
  std::string text;
};

// Reads a file without looking at what is in it. Errors: those of ReadSmallFile.
absl::StatusOr<Pem> ReadPem(const std::string& path);

// When a certificate is valid.
struct Validity {
  absl::Time not_before;
  absl::Time not_after;
};

// Holds a certificate chain, leaf first, against its private key and returns when the leaf is valid. gRPC would say no
// more than that its handshakes fail. Errors: INVALID_ARGUMENT, naming the file: there is no certificate or no key in
// it, one that cannot be read (an encrypted key, too), or the key is not the certificate's.
absl::StatusOr<Validity> CheckKeyPair(const Pem& certificate, const Pem& private_key);

// Errors: INVALID_ARGUMENT, naming the file: there is no certificate in it, or one that cannot be read.
absl::Status CheckAuthorities(const Pem& authorities);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_TLS_PEM_H_
