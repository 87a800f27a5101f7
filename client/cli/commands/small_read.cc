// SPDX-License-Identifier: Apache-2.0
#include "client/cli/commands/small_read.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "client/cli/commands/result_size.h"

namespace tensorferry::cli {
namespace {

// The slice of the first elements of a consistent tensor that is at most `max_bytes`, but at least one element of the
// innermost dimension, or one group of them that fills bytes.
SliceSpec FirstBytes(const TensorInfo& info, std::int64_t max_bytes) {
  std::int64_t entry_bits = info.size_bytes * 8;
  SliceSpec slice;
  for (const std::int64_t dimension : info.shape) {
    entry_bits /= dimension;  // of one entry of this dimension
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

// Whether `a` serves better than `b`.
bool IsBetter(const TensorInfo& a, const TensorInfo& b, std::int64_t max_bytes) {
  // Narrower dtypes cannot be cut everywhere.
  const bool a_divides = BitWidth(a.dtype) >= 8;
  if (a_divides != (BitWidth(b.dtype) >= 8)) return a_divides;
  if (b.size_bytes < max_bytes) return a.size_bytes > b.size_bytes;
  return a.size_bytes >= max_bytes && a.size_bytes < b.size_bytes;
}

}  // namespace

absl::StatusOr<SmallRead> ChooseSmallRead(std::span<const TensorInfo> tensors, std::int64_t max_bytes) {
  const TensorInfo* chosen = nullptr;
  for (const TensorInfo& info : tensors) {
    if (chosen == nullptr || IsBetter(info, *chosen, max_bytes)) chosen = &info;
  }
  const auto whole_bytes = ResultSizeBytes(*chosen, std::nullopt);
  if (!whole_bytes.ok()) return whole_bytes.status();
  SmallRead read{chosen->name, std::nullopt, *whole_bytes};
  if (*whole_bytes <= max_bytes) return read;

  const SliceSpec slice = FirstBytes(*chosen, max_bytes);
  // A dtype narrower than a byte may not be divisible there: then the whole tensor it is.
  const auto slice_bytes = ResultSizeBytes(*chosen, slice);
  if (slice_bytes.ok()) {
    read.slice = slice;
    read.size_bytes = *slice_bytes;
  }
  return read;
}

}  // namespace tensorferry::cli
