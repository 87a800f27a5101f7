// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/slice.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <utility>

#include "absl/status/status.h"
#include "lib/text/quote.h"

namespace tensorferry {
namespace {

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\r";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// Removes the text up to the next `separator` from `rest`, with the separator. Returns it without white space around
// it.
std::string_view TakeUntil(char separator, std::string_view& rest) {
  const std::size_t end = rest.find(separator);
  const std::string_view taken = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  return Trim(taken);
}

std::optional<std::int64_t> ParseInteger(std::string_view text) {
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Parses a bound, which is absent if `text` is empty. Returns false if `text` is not an integer.
bool ParseBound(std::string_view text, std::optional<std::int64_t>& bound) {
  if (text.empty()) return true;
  bound = ParseInteger(text);
  return bound.has_value();
}

std::optional<DimensionSlice> ParseEntry(std::string_view entry) {
  if (entry.find(':') == std::string_view::npos) {
    const std::optional<std::int64_t> index = ParseInteger(entry);
    if (!index) return std::nullopt;
    return Index{*index};
  }
  Range range;
  std::string_view rest = entry;
  if (!ParseBound(TakeUntil(':', rest), range.start)) return std::nullopt;
  if (!ParseBound(TakeUntil(':', rest), range.stop)) return std::nullopt;
  std::optional<std::int64_t> step;
  if (!ParseBound(Trim(rest), step)) return std::nullopt;
  range.step = step.value_or(1);
  return range;
}

// Returns a slice with this error. Its step of 0 makes it invalid even for code that does not check `error`.
SliceSpec NoSlice(std::string error) {
  return {.dimensions = {Range{.start = {}, .stop = {}, .step = 0}}, .error = std::move(error)};
}

}  // namespace

absl::StatusOr<SliceSpec> SliceSpec::Parse(std::string_view text) {
  std::string_view rest = Trim(text);
  if (rest.starts_with('[') != rest.ends_with(']') || rest == "[") {
    return absl::InvalidArgumentError(fmt::format("slice {}: brackets do not match", Quote(text)));
  }
  if (rest.starts_with('[')) rest = Trim(rest.substr(1, rest.size() - 2));
  SliceSpec spec;
  while (!rest.empty()) {
    const std::string_view entry = TakeUntil(',', rest);
    std::optional<DimensionSlice> dimension = ParseEntry(entry);
    if (!dimension) {
      return absl::InvalidArgumentError(fmt::format("slice {}: entry {} ({}) is neither an integer nor start:stop:step",
                                                    Quote(text), spec.dimensions.size(), Quote(entry)));
    }
    spec.dimensions.push_back(*dimension);
  }
  return spec;
}

std::string SliceSpec::ToString() const {
  std::string text = "[";
  for (const DimensionSlice& dimension : dimensions) {
    if (text.size() > 1) text += ", ";
    if (const auto* index = std::get_if<Index>(&dimension)) {
      text += std::to_string(index->value);
      continue;
    }
    const auto& range = std::get<Range>(dimension);
    if (range.start) text += std::to_string(*range.start);
    text += ':';
    if (range.stop) text += std::to_string(*range.stop);
    if (range.step != 1) text += ':' + std::to_string(range.step);
  }
  return text + ']';
}

SliceSpec Shard(std::span<const std::int64_t> shape, int dimension, int rank, int world_size) {
  const int dimensions = static_cast<int>(shape.size());
  if (rank < 0 || rank >= world_size) {
    return NoSlice(fmt::format("rank {} of world_size {}: the rank must be in [0, world_size)", rank, world_size));
  }
  if (dimension < -dimensions || dimension >= dimensions) {
    return NoSlice(fmt::format("cannot divide dimension {} of a tensor with {} dimensions", dimension, dimensions));
  }
  if (dimension < 0) dimension += dimensions;
  SliceSpec spec;
  spec.dimensions.resize(static_cast<std::size_t>(dimension), Range());
  const std::int64_t size = shape[static_cast<std::size_t>(dimension)];
  const std::int64_t part_size = size / world_size + (size % world_size != 0 ? 1 : 0);
  // Sizes are not negative. The product overflows only where it is beyond the end.
  std::int64_t start = size;
  if (part_size == 0 || rank <= size / part_size) start = std::min(size, part_size * rank);
  spec.dimensions.emplace_back(Range{.start = start, .stop = std::min(size - start, part_size) + start, .step = 1});
  return spec;
}

}  // namespace tensorferry
