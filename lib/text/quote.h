// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_TEXT_QUOTE_H_
#define TENSORFERRY_LIB_TEXT_QUOTE_H_

#include <string>
#include <string_view>

namespace tensorferry {

// Names of tensors and files may be any bytes. Use these functions for every text that goes to a terminal, a log or an
// error message.

// Returns `text` with escapes for everything that could move the cursor, reverse the text or break the line:
//   control characters, line separators and directional marks    \u{202e}
//   bytes that are not UTF-8                                      \xff
//   \ (the backslash)                                             doubled
// The result is valid UTF-8.
std::string Escape(std::string_view text);

// Returns Escape(text) in double quotes, with the quotes in it escaped. Leaves out the middle of texts over 200 bytes.
std::string Quote(std::string_view text);

// Returns `text` as a JSON string, never shortened. Characters that Escape escapes become JSON escapes such as \u202e.
// Text that is not UTF-8 goes through Escape first.
std::string JsonQuote(std::string_view text);

// Returns true if `text` is valid UTF-8, without surrogates and overlong forms.
bool IsValidUtf8(std::string_view text);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_TEXT_QUOTE_H_
