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

// One element of a dimension. The result lacks the dimension. A negative index counts from the end.
struct Index {
  std::int64_t value = 0;
  friend bool operator==(const Index&, const Index&) = default;
};

// The elements start, start + step, and so on below stop, with numpy's meaning:
// - negative bounds count from the end
// - bounds outside the dimension are clamped
// - absent bounds are the ends of the dimension
// The step must be at least 1.
struct Range {
  std::optional<std::int64_t> start;
  std::optional<std::int64_t> stop;
  std::int64_t step = 1;
  friend bool operator==(const Range&, const Range&) = default;
};

// The part of a slice for one dimension.
using DimensionSlice = std::variant<Index, Range>;

// A requested slice, not yet validated against a shape (SlicePlan::Create does that).
struct SliceSpec {
  // The slices of the dimensions, outermost first. Dimensions after the last entry are taken whole.
  std::vector<DimensionSlice> dimensions;
  // The reason why there is no such slice; empty if there may be one. Every use of the slice fails with this text.
  std::string error = {};

  // Parses numpy's notation, with or without brackets: "[0:128, :, -1]", "3", "::2", "[]".
  // Errors: INVALID_ARGUMENT: brackets do not match, or an entry is neither an integer nor start:stop:step.
  static absl::StatusOr<SliceSpec> Parse(std::string_view text);

  // Returns the notation that Parse reads, with brackets.
  std::string ToString() const;

  friend bool operator==(const SliceSpec&, const SliceSpec&) = default;
};

// Returns the slice of a tensor of this shape for rank `rank` of `world_size`, divided along `dimension`. Divides as
// torch.chunk does: sizes are rounded up, so that the last parts may be smaller or empty. A negative dimension counts
// from the end. If the dimension does not exist, or the rank is not in [0, world_size), the result has an `error`, and
// every fetch of the slice fails with INVALID_ARGUMENT.
SliceSpec Shard(std::span<const std::int64_t> shape, int dimension, int rank, int world_size);

}  // namespace tensorferry

#endif  // TENSORFERRY_SLICE_H_
