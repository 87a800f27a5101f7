// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_SECURITY_TOKEN_TABLE_H_
#define TENSORFERRY_SERVER_SECURITY_TOKEN_TABLE_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/text/glob.h"
#include "server/security/secret_digest.h"

namespace tensorferry::server {

// The rights of a token: its owner's name and the models that it may read. Safe for concurrent use by multiple threads.
class Grant {
 public:
  // No globs: all models.
  Grant(std::string name, std::vector<Glob> globs) : name_(std::move(name)), globs_(std::move(globs)) {}

  // Returns the NAME of the token's line.
  const std::string& name() const { return name_; }
  bool MayRead(std::string_view model) const;

 private:
  const std::string name_;
  const std::vector<Glob> globs_;
};

// The tokens that a server accepts. Safe for concurrent use by multiple threads.
class TokenTable {
 public:
  // Parses lines of `NAME TOKEN [MODEL-GLOB ...]`, separated by spaces or tabs. NAME is the token's owner, for the log;
  // several lines may have the same one, such as an old and a new token. TOKEN has 16 to 1024 of the characters that
  // RFC 6750 allows: letters, digits and -._~+/, then any number of `=`. Ignores empty lines and lines that begin with
  // #. Errors: INVALID_ARGUMENT: empty text (a file that is being written begins like that), a malformed line, a
  // duplicate token, more than 1,000 tokens. Messages name the line, and never its text, which may be a token.
  static absl::StatusOr<TokenTable> Parse(std::string_view text);

  // Returns the rights of the token, or nullptr if it is unknown. Takes the same time for every token.
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
