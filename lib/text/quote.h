// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_TEXT_QUOTE_H_
#define TENSORFERRY_LIB_TEXT_QUOTE_H_

#include <string>
#include <string_view>

namespace tensorferry {

// Tensor and file names are any text: what goes to a terminal, a log or an error message goes through here.

// `text` with everything that could move the cursor, reverse the text or break the line written as an escape: control
// characters and directional marks as \u{202e}, bytes that are not UTF-8 as \xff, and the backslash as \\.
std::string Escape(std::string_view text);

// Escape(text) in double quotes (which are escaped within), shortened in the middle if it is longer than 200 bytes.
std::string Quote(std::string_view text);

// `text` as a string of JSON, which stands for all of it: what Escape escapes is written as \u202e. Text that is not
// UTF-8 is escaped as Escape does first.
std::string JsonQuote(std::string_view text);

// Whether `text` is valid UTF-8, which excludes surrogates and overlong forms.
bool IsValidUtf8(std::string_view text);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_TEXT_QUOTE_H_
