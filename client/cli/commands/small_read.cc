// SPDX-License-Identifier: Apache-2.0
#include "client/cli/commands/small_read.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "tensorferry/slice_plan.h"

namespace tensorferry::cli {
namespace {

// Returns the slice with the first elements of a tensor: at most `max_bytes`, but at least one element, or one group of
// elements that fills whole bytes. The tensor must have more than `max_bytes`.
SliceSpec FirstBytes(const TensorInfo& info, std::int64_t max_bytes) {
  std::int64_t entry_bits = info.size_bytes * 8;
  SliceSpec slice;
  for (const std::int64_t dimension : info.shape) {
    entry_bits /= dimension;  // now of one entry of this dimension
    const std::int64_t fitting = max_bytes * 8 / entry_bits;
    if (fitting > 0) {
      // Four elements of any dtype fill whole bytes.
      const std::int64_t count = BitWidth(info.dtype) < 8 && fitting > 4 ? fitting / 4 * 4 : fitting;
      slice.dimensions.emplace_back(Range{0, std::min(count, dimension), 1});
      return slice;
    }
    slice.dimensions.emplace_back(Index{0});
  }
  return slice;
}

// Returns true if `a` is a better tensor for a read of `max_bytes` than `b`.
bool IsBetter(const TensorInfo& a, const TensorInfo& b, std::int64_t max_bytes) {
  // Narrower dtypes cannot be cut everywhere.
  const bool a_divides = BitWidth(a.dtype) >= 8;
  if (a_divides != (BitWidth(b.dtype) >= 8)) return a_divides;
  if (b.size_bytes < max_bytes) return a.size_bytes > b.size_bytes;
  return a.size_bytes >= max_bytes && a.size_bytes < b.size_bytes;
}

}  // namespace

SmallRead ChooseSmallRead(std::span<const TensorInfo> tensors, std::int64_t max_bytes) {
  const TensorInfo* chosen = nullptr;
  for (const TensorInfo& info : tensors) {
    if (chosen == nullptr || IsBetter(info, *chosen, max_bytes)) chosen = &info;
  }
  if (chosen->size_bytes > max_bytes) {
    const SliceSpec slice = FirstBytes(*chosen, max_bytes);
    // Fails if the slice of a dtype narrower than a byte ends inside a byte.
    const auto plan = SlicePlan::Create(slice, chosen->dtype, chosen->shape);
    if (plan.ok()) return {chosen->name, slice, plan->size_bytes()};
  }
  return {chosen->name, std::nullopt, chosen->size_bytes};
}

}  // namespace tensorferry::cli
