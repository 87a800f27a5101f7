// SPDX-License-Identifier: Apache-2.0
#include "lib/text/quote.h"

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>

namespace tensorferry {
namespace {

struct Decoded {
  std::uint32_t code_point = 0;
  std::size_t size_bytes = 0;  // 0 if the text is not UTF-8
};

// Decodes the first code point of `text`, which must not be empty.
Decoded DecodeFirst(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  if (byte(0) < 0x80) return {byte(0), 1};
  const std::size_t size = byte(0) >= 0xF0 ? 4 : byte(0) >= 0xE0 ? 3 : 2;
  if (byte(0) < 0xC2 || byte(0) > 0xF4 || text.size() < size) return {};
  std::uint32_t code_point = byte(0) & (0xFFU >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    code_point = code_point << 6 | (byte(i) & 0x3F);
  }
  const bool overlong = (size == 3 && code_point < 0x800) || (size == 4 && code_point < 0x10000);
  const bool surrogate = code_point >= 0xD800 && code_point < 0xE000;
  if (overlong || surrogate || code_point > 0x10FFFF) return {};
  return {code_point, size};
}

// Returns true for control characters, line separators, invisible characters and directional marks.
bool IsUnsafe(std::uint32_t c) {
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || c == 0x61C || (c >= 0x200B && c <= 0x200F) ||
         (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFB) ||
         (c >= 0xE0000 && c <= 0xE007F);
}

std::string EscapeWith(std::string_view text, bool quotes) {
  std::string escaped;
  escaped.reserve(text.size());
  while (!text.empty()) {
    const Decoded decoded = DecodeFirst(text);
    const std::string_view bytes = text.substr(0, decoded.size_bytes == 0 ? 1 : decoded.size_bytes);
    if (decoded.size_bytes == 0) {
      escaped += fmt::format("\\x{:02x}", static_cast<std::uint8_t>(text[0]));
    } else if (decoded.code_point == '\\' || (quotes && decoded.code_point == '"')) {
      escaped += '\\';
      escaped += bytes;
    } else if (IsUnsafe(decoded.code_point)) {
      escaped += fmt::format("\\u{{{:x}}}", decoded.code_point);
    } else {
      escaped += bytes;
    }
    text.remove_prefix(bytes.size());
  }
  return escaped;
}

// Returns the largest cut at or below `size` that does not split a code point, or `size` if the text is not UTF-8.
std::size_t CutBefore(std::string_view text, std::size_t size) {
  for (std::size_t back = 0; back < 4 && back <= size; ++back) {
    if ((static_cast<std::uint8_t>(text[size - back]) & 0xC0) != 0x80) return size - back;
  }
  return size;
}

}  // namespace

std::string Escape(std::string_view text) { return EscapeWith(text, /*quotes=*/false); }

std::string Quote(std::string_view text) {
  constexpr std::size_t kMaxBytes = 200;
  if (text.size() <= kMaxBytes) return '"' + EscapeWith(text, /*quotes=*/true) + '"';
  const std::string_view head = text.substr(0, CutBefore(text, kMaxBytes / 2));
  const std::string_view tail = text.substr(CutBefore(text, text.size() - kMaxBytes / 2));
  return '"' + EscapeWith(head, true) + "..." + EscapeWith(tail, true) + '"';
}

std::string JsonQuote(std::string_view text) {
  if (!IsValidUtf8(text)) return JsonQuote(Escape(text));
  std::string quoted = "\"";
  while (!text.empty()) {
    const Decoded decoded = DecodeFirst(text);
    if (decoded.code_point == '\\' || decoded.code_point == '"') quoted += '\\';
    if (!IsUnsafe(decoded.code_point)) {
      quoted += text.substr(0, decoded.size_bytes);
    } else if (decoded.code_point < 0x10000) {
      quoted += fmt::format("\\u{:04x}", decoded.code_point);
    } else {
      const std::uint32_t above = decoded.code_point - 0x10000;
      quoted += fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + (above >> 10), 0xDC00 + (above & 0x3FF));
    }
    text.remove_prefix(decoded.size_bytes);
  }
  return quoted + '"';
}

bool IsValidUtf8(std::string_view text) {
  while (!text.empty()) {
    const Decoded decoded = DecodeFirst(text);
    if (decoded.size_bytes == 0) return false;
    text.remove_prefix(decoded.size_bytes);
  }
  return true;
}

}  // namespace tensorferry
