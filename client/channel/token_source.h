// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CHANNEL_TOKEN_SOURCE_H_
#define TENSORFERRY_CLIENT_CHANNEL_TOKEN_SOURCE_H_

#include <string>

#include "absl/status/statusor.h"
#include "tensorferry/security_options.h"

namespace tensorferry {

// Where the bearer token of each call comes from. Safe for concurrent use by multiple threads.
class TokenSource {
 public:
  // Errors: INVALID_ARGUMENT: a token and a file.
  static absl::StatusOr<TokenSource> Create(const TokenOptions& options);

  // Whether there are tokens at all.
  bool present() const { return !options_.token.empty() || !options_.file.empty(); }

  // The token for a call to `address`. `through_proxy`: the call may leave this machine even if `address` is loopback.
  // Errors: INVALID_ARGUMENT: it would travel in plaintext, or what there is cannot be a token; those of reading the
  // file. Messages never hold the token.
  absl::StatusOr<std::string> TokenFor(const std::string& address, bool encrypted, bool through_proxy) const;

 private:
  explicit TokenSource(const TokenOptions& options) : options_(options) {}

  TokenOptions options_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_CHANNEL_TOKEN_SOURCE_H_
