// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SLICE_H_
#define TENSORFERRY_SLICE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"

namespace tensorferry {

// One element of a dimension, which the result then lacks. Negative counts from the end.
struct Index {
  std::int64_t value = 0;
  friend bool operator==(const Index&, const Index&) = default;
};

// The elements start, start + step, ... below stop, as numpy takes them: negative bounds count from the end, bounds
// beyond the dimension are clamped, absent ones mean its ends. Steps are at least 1.
struct Range {
  std::optional<std::int64_t> start;
  std::optional<std::int64_t> stop;
  std::int64_t step = 1;
  friend bool operator==(const Range&, const Range&) = default;
};

using DimensionSlice = std::variant<Index, Range>;

// A slice as it was asked for, not yet held against any shape. Dimensions that are not mentioned are taken whole.
struct SliceSpec {
  std::vector<DimensionSlice> dimensions;

  // Reads numpy's notation with or without the brackets: "[0:128, :, -1]", "3", "::2", "[]".
  // Errors: INVALID_ARGUMENT, naming the entry that is neither an integer nor start:stop:step.
  static absl::StatusOr<SliceSpec> Parse(std::string_view text);

  // The notation that Parse reads, with brackets.
  std::string ToString() const;

  friend bool operator==(const SliceSpec&, const SliceSpec&) = default;
};

// Returns the slice of a tensor of that shape that belongs to rank `rank` of `world_size`, cut along `dimension` as
// torch.chunk cuts: parts are rounded up, so that the last ones may be smaller or empty. A negative dimension counts
// from the end. If the dimension does not exist, or the rank is not in [0, world_size), every fetch refuses the slice.
SliceSpec Shard(std::span<const std::int64_t> shape, int dimension, int rank, int world_size);

}  // namespace tensorferry

#endif  // TENSORFERRY_SLICE_H_
