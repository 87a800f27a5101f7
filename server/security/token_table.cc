// SPDX-License-Identifier: Apache-2.0
#include "server/security/token_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/status.h"

namespace tensorferry::server {
namespace {

constexpr std::size_t kMinTokenBytes = 16;
constexpr std::size_t kMaxTokenBytes = 1024;
constexpr std::size_t kMaxTokens = 1'000;
constexpr std::string_view kBlanks = " \t\r";

// Removes the next word from `line` and returns it; at the end of the line, returns an empty one.
std::string_view TakeWord(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(kBlanks), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(kBlanks));
  line.remove_prefix(word.size());
  return word;
}

bool IsTokenCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("-._~+/").find(c) != std::string_view::npos;
}

// Returns the reason why a word cannot be a token, or nothing.
std::string_view TokenFault(std::string_view token) {
  if (token.empty()) return "no token after the name";
  if (token.size() < kMinTokenBytes) return "token has fewer than 16 characters";
  if (token.size() > kMaxTokenBytes) return "token has more than 1024 characters";
  token = token.substr(0, token.find_last_not_of('=') + 1);
  if (!std::ranges::all_of(token, IsTokenCharacter)) {
    return "token has a character other than letters, digits and -._~+/, and = at its end";
  }
  return {};
}

}  // namespace

bool Grant::MayRead(std::string_view model) const {
  return globs_.empty() || std::ranges::any_of(globs_, [&](const Glob& glob) { return glob.Matches(model); });
}

absl::StatusOr<TokenTable> TokenTable::Parse(std::string_view text) {
  if (text.empty()) return absl::InvalidArgumentError("the file is empty; to accept no token, write a comment line");
  TokenTable table;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto error = [number](std::string_view reason) {
      return absl::InvalidArgumentError(fmt::format("line {}: {}", number, reason));
    };
    const std::string_view name = TakeWord(line);
    if (name.empty() || name.starts_with('#')) continue;
    const std::string_view token = TakeWord(line);
    if (const std::string_view fault = TokenFault(token); !fault.empty()) return error(fault);
    if (table.Find(token) != nullptr) return error("duplicate token");
    std::vector<Glob> globs;
    for (std::string_view word = TakeWord(line); !word.empty(); word = TakeWord(line)) {
      absl::StatusOr<Glob> glob = Glob::Create(word);
      if (!glob.ok()) return error(fmt::format("model glob {} is malformed", globs.size() + 1));
      globs.push_back(*std::move(glob));
    }
    if (table.size() == kMaxTokens) return error(fmt::format("more than {} tokens", kMaxTokens));
    table.entries_.push_back({SecretDigest(token), std::make_shared<Grant>(std::string(name), std::move(globs))});
  }
  return table;
}

std::shared_ptr<const Grant> TokenTable::Find(std::string_view token) const {
  const SecretDigest wanted(token);
  std::shared_ptr<const Grant> found;
  // Compares all entries, so that the time does not reveal the place of a token.
  for (const Entry& entry : entries_) {
    if (entry.token == wanted) found = entry.grant;
  }
  return found;
}

}  // namespace tensorferry::server
