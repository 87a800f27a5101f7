// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CHANNEL_TOKEN_SOURCE_H_
#define TENSORFERRY_CLIENT_CHANNEL_TOKEN_SOURCE_H_

#include <string>

#include "absl/status/statusor.h"
#include "tensorferry/security_options.h"

namespace tensorferry {

// Provides the bearer token for each call. Safe for concurrent use by multiple threads.
class TokenSource {
 public:
  // Errors: INVALID_ARGUMENT: both a token and a file are given.
  static absl::StatusOr<TokenSource> Create(const TokenOptions& options);

  // Returns true if calls carry a token.
  bool present() const { return !options_.token.empty() || !options_.file.empty(); }

  // Returns the token for a call to `address`, and reads the file again. `through_proxy`: the call may leave this
  // machine even if `address` is loopback. Error messages never contain the token. Errors: INVALID_ARGUMENT: the token
  // would travel in plaintext, or is not a single word; those of reading the file.
  absl::StatusOr<std::string> TokenFor(const std::string& address, bool encrypted, bool through_proxy) const;

 private:
  explicit TokenSource(const TokenOptions& options) : options_(options) {}

  TokenOptions options_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_CHANNEL_TOKEN_SOURCE_H_
