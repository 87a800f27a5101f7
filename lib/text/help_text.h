// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_TEXT_HELP_TEXT_H_
#define TENSORFERRY_LIB_TEXT_HELP_TEXT_H_

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tensorferry {

// Returns `text` in lines of at most 80 columns, each after `indent` spaces and with a line break at its end. Words are
// not broken.
std::string WrapText(std::string_view text, std::size_t indent);

// Returns the name that `word` is most likely a misspelling of, or nothing if no name is similar.
std::optional<std::string> ClosestName(std::string_view word, std::span<const std::string> names);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_TEXT_HELP_TEXT_H_
