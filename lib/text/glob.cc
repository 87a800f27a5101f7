// SPDX-License-Identifier: Apache-2.0
#include "lib/text/glob.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <cstddef>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "lib/text/quote.h"

namespace tensorferry {
namespace {

constexpr std::size_t kMaxPatternBytes = 1024;

std::string Literal(std::string_view text) { return re2::RE2::QuoteMeta({text.data(), text.size()}); }

// Removes from `pattern` the set that it begins with, after its '['. Returns the set as a regular expression, or an
// empty string if the closing bracket is missing.
std::string TakeSet(std::string_view& pattern) {
  std::string set = "[";
  if (pattern.starts_with('!')) {
    set += '^';
    pattern.remove_prefix(1);
  }
  // A ']' that comes first is a member of the set.
  for (bool first = true; !pattern.empty(); first = false) {
    const char c = pattern.front();
    pattern.remove_prefix(1);
    if (c == ']' && !first) return set + ']';
    if (c == '[' || c == ']' || c == '^' || c == '\\') set += '\\';
    set += c;
  }
  return {};
}

}  // namespace

absl::StatusOr<Glob> Glob::Create(std::string_view pattern) {
  const auto error = [&](std::string_view reason) {
    return absl::InvalidArgumentError(fmt::format("glob {}: {}", Quote(pattern), reason));
  };
  if (pattern.size() > kMaxPatternBytes) {
    return error(fmt::format("pattern is {} bytes long; the limit is {}", pattern.size(), kMaxPatternBytes));
  }
  std::string regex;
  std::string_view rest = pattern;
  while (!rest.empty()) {
    const char c = rest.front();
    rest.remove_prefix(1);
    if (c == '*') {
      regex += ".*";
    } else if (c == '?') {
      regex += '.';
    } else if (c == '[') {
      const std::string set = TakeSet(rest);
      if (set.empty()) return error("a set lacks its closing \"]\"");
      regex += set;
    } else if (c == '\\') {
      if (rest.empty()) return error("a backslash at the end escapes nothing");
      regex += Literal(rest.substr(0, 1));
      rest.remove_prefix(1);
    } else {
      regex += static_cast<unsigned char>(c) < 0x80 ? Literal(std::string_view(&c, 1)) : std::string(1, c);
    }
  }
  re2::RE2::Options options(re2::RE2::Quiet);
  options.set_dot_nl(true);
  auto compiled = std::make_unique<re2::RE2>(regex, options);
  // RE2's message contains a part of the pattern, which may hold control characters.
  if (!compiled->ok()) return error(Quote(compiled->error()));
  return Glob(std::move(compiled));
}

Glob::Glob(std::unique_ptr<re2::RE2> regex) : regex_(std::move(regex)) {}
Glob::Glob(Glob&&) noexcept = default;
Glob& Glob::operator=(Glob&&) noexcept = default;
Glob::~Glob() = default;

bool Glob::Matches(std::string_view name) const { return re2::RE2::FullMatch({name.data(), name.size()}, *regex_); }

}  // namespace tensorferry
