// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/slice_oracle.h"

#include <algorithm>
#include <cstddef>
#include <utility>
#include <variant>

namespace tensorferry::test {
namespace {

// Wide enough for any sum of two int64.
__extension__ using Wide = __int128;

Wide FromEnd(Wide bound, Wide size) { return bound < 0 ? bound + size : bound; }

// Returns the selected elements of one dimension. Tests each element of the dimension.
std::optional<std::vector<std::int64_t>> Taken(const DimensionSlice& slice, std::int64_t size) {
  std::vector<std::int64_t> taken;
  if (const auto* index = std::get_if<Index>(&slice)) {
    for (std::int64_t i = 0; i < size; ++i) {
      if (FromEnd(index->value, size) == i) taken.push_back(i);
    }
    if (taken.empty()) return std::nullopt;
    return taken;
  }
  const auto& range = std::get<Range>(slice);
  if (range.step < 1) return std::nullopt;
  const Wide start = std::max<Wide>(FromEnd(range.start.value_or(0), size), 0);
  const Wide stop = range.stop ? FromEnd(*range.stop, size) : Wide{size};
  for (std::int64_t i = 0; i < size; ++i) {
    if (i >= start && i < stop && (i - start) % range.step == 0) taken.push_back(i);
  }
  return taken;
}

}  // namespace

std::optional<SliceResult> SliceByBruteForce(const SliceSpec& spec, Dtype dtype, std::span<const std::int64_t> shape) {
  if (spec.dimensions.size() > shape.size()) return std::nullopt;
  SliceResult result;
  // The elements of the result, in order, as indexes of the tensor.
  std::vector<std::int64_t> elements = {0};
  for (std::size_t d = 0; d < shape.size(); ++d) {
    const DimensionSlice slice = d < spec.dimensions.size() ? spec.dimensions[d] : DimensionSlice(Range{});
    const auto taken = Taken(slice, shape[d]);
    if (!taken) return std::nullopt;
    if (std::holds_alternative<Range>(slice)) result.shape.push_back(static_cast<std::int64_t>(taken->size()));
    std::vector<std::int64_t> deeper;
    for (const std::int64_t outer : elements) {
      for (const std::int64_t i : *taken) deeper.push_back(outer * shape[d] + i);
    }
    elements = std::move(deeper);
  }

  std::vector<std::int64_t> bits;
  for (const std::int64_t element : elements) {
    for (int bit = 0; bit < BitWidth(dtype); ++bit) bits.push_back(element * BitWidth(dtype) + bit);
  }
  if (bits.size() % 8 != 0) return std::nullopt;
  for (std::size_t i = 0; i < bits.size(); i += 8) {
    for (std::size_t bit = 0; bit < 8; ++bit) {
      if (bits[i] % 8 != 0 || bits[i + bit] != bits[i] + static_cast<std::int64_t>(bit)) return std::nullopt;
    }
    result.source_bytes.push_back(bits[i] / 8);
  }
  return result;
}

}  // namespace tensorferry::test
