// SPDX-License-Identifier: Apache-2.0
#include "server/log/log_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <variant>

#include "lib/text/quote.h"

namespace tensorferry::server {
namespace {

// Six digits, enough for measurements. JSON has no other numbers than finite ones.
std::string Number(double value) { return std::isfinite(value) ? fmt::format("{:.6g}", value) : "null"; }

// Returns a value of logfmt: without quotes if it cannot be misread.
std::string Bare(std::string_view text) {
  const bool plain =
      std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7F && c != '"' && c != '=' && c != '\\'; });
  return plain && !text.empty() ? std::string(text) : JsonQuote(text);
}

std::string TextOf(const LogField& field, std::string (*write)(std::string_view)) {
  if (const auto* text = std::get_if<std::string_view>(&field.value())) return write(*text);
  if (const auto* integer = std::get_if<std::int64_t>(&field.value())) return fmt::format("{}", *integer);
  return Number(std::get<double>(field.value()));
}

}  // namespace

std::string TextLine(std::string_view message, std::span<const LogField> fields) {
  std::string line = Escape(message);
  for (const LogField& field : fields) line += fmt::format(" {}={}", field.key(), TextOf(field, Bare));
  return line;
}

std::string JsonMembers(std::string_view message, std::span<const LogField> fields) {
  std::string line = fmt::format("\"message\":{}", JsonQuote(message));
  for (const LogField& field : fields) line += fmt::format(",\"{}\":{}", field.key(), TextOf(field, JsonQuote));
  return line;
}

}  // namespace tensorferry::server
