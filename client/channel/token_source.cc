// SPDX-License-Identifier: Apache-2.0
#include "client/channel/token_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "lib/files/file_io.h"
#include "lib/net/endpoint.h"
#include "lib/text/quote.h"

namespace tensorferry {
namespace {

constexpr std::int64_t kMaxFileBytes = 4096;
constexpr std::string_view kBlanks = " \t\r\n";

std::string_view WithoutBlanks(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

// Metadata that HTTP/2 does not allow would make gRPC abort the program.
bool IsOneWord(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f; });
}

}  // namespace

absl::StatusOr<TokenSource> TokenSource::Create(const TokenOptions& options) {
  if (!options.token.empty() && !options.file.empty()) {
    return absl::InvalidArgumentError("give a token or a token file, not both");
  }
  return TokenSource(options);
}

absl::StatusOr<std::string> TokenSource::TokenFor(const std::string& address, bool encrypted,
                                                  bool through_proxy) const {
  if (!encrypted && !options_.allow_plaintext && through_proxy) {
    return absl::InvalidArgumentError(
        "the token would travel in plaintext through a proxy: use TLS, or do not use the proxy");
  }
  if (!encrypted && !options_.allow_plaintext && !IsLoopback(address)) {
    return absl::InvalidArgumentError(fmt::format(
        "the token would travel in plaintext to {}, which is not a loopback address: use TLS", Quote(address)));
  }
  if (options_.file.empty()) {
    if (!IsOneWord(options_.token)) return absl::InvalidArgumentError("the token must be one word of printable ASCII");
    return options_.token;
  }
  const absl::StatusOr<std::string> content = ReadSmallFile(options_.file, kMaxFileBytes);
  if (!content.ok()) return content.status();
  const std::string_view token = WithoutBlanks(*content);
  if (!IsOneWord(token)) {
    return absl::InvalidArgumentError(
        fmt::format("token file {}: must hold the token alone, as one word; a server's token file has NAME TOKEN lines",
                    Quote(options_.file)));
  }
  return std::string(token);
}

}  // namespace tensorferry
