// SPDX-License-Identifier: Apache-2.0
#include "lib/text/help_text.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace tensorferry {
namespace {

constexpr std::size_t kColumns = 80;
// Longer words are no misspellings, and their distance would take long to compute.
constexpr std::size_t kMaxWordBytes = 100;

// Returns the number of bytes to insert, remove or replace to turn `a` into `b`.
std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string WrapText(std::string_view text, std::size_t indent) {
  std::string wrapped;
  std::size_t column = 0;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    if (column > 0 && column + 1 + word.size() > kColumns) {
      wrapped += '\n';
      column = 0;
    }
    wrapped += column == 0 ? std::string(indent, ' ') : " ";
    wrapped += word;
    column += (column == 0 ? indent : 1) + word.size();
  }
  return wrapped + '\n';
}

std::optional<std::string> ClosestName(std::string_view word, std::span<const std::string> names) {
  if (word.size() > kMaxWordBytes) return std::nullopt;
  // Names that differ more have no more in common than by chance.
  std::size_t least = word.size() / 4 + 2;
  std::optional<std::string> closest;
  for (const std::string& name : names) {
    const std::size_t distance = EditDistance(word, name);
    if (distance >= least) continue;
    least = distance;
    closest = name;
  }
  return closest;
}

}  // namespace tensorferry
