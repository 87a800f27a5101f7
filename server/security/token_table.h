// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_SECURITY_TOKEN_TABLE_H_
#define TENSORFERRY_SERVER_SECURITY_TOKEN_TABLE_H_

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/text/glob.h"
#include "server/security/secret_digest.h"

namespace tensorferry::server {

// Which models the holder of a token may read. Safe for concurrent use by multiple threads.
class Grant {
 public:
  // No globs: all of them.
  explicit Grant(std::vector<Glob> globs) : globs_(std::move(globs)) {}

  bool MayRead(std::string_view model) const;

 private:
  const std::vector<Glob> globs_;
};

// The tokens that a server accepts. Safe for concurrent use by multiple threads.
class TokenTable {
 public:
  // Reads lines of `NAME TOKEN [MODEL-GLOB ...]`, separated by spaces or tabs. NAME says for people whose token it is,
  // and may stand in several lines (an old and a new token). TOKEN has 16 to 1024 of the characters that RFC 6750
  // allows: letters, digits and -._~+/, then any number of `=`. Empty lines, and those that begin with #, say nothing.
  // Errors: INVALID_ARGUMENT: nothing at all in it (what is being written begins like that), a malformed line, a token
  // twice, more than 1,000 tokens. Messages tell the line, and never what stands in it: that may be a token.
  static absl::StatusOr<TokenTable> Parse(std::string_view text);

  // What the holder of `token` may do, or nullptr if it is no token. Takes the same time whichever token it is.
  std::shared_ptr<const Grant> Find(std::string_view token) const;

  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    SecretDigest token;
    std::shared_ptr<const Grant> grant;
  };

  std::vector<Entry> entries_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_SECURITY_TOKEN_TABLE_H_
