// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_TENSOR_CHECKED_MATH_H_
#define TENSORFERRY_LIB_TENSOR_CHECKED_MATH_H_

#include <cstdint>
#include <optional>
#include <span>

#include "tensorferry/dtype.h"

namespace tensorferry {

// The size in bits of a tensor, multiplied up in dimension order, or nothing if a step of that does not fit into 64
// bits (even where a later dimension is zero: the format's reference says the same).
inline std::optional<std::uint64_t> CheckedBits(Dtype dtype, std::span<const std::int64_t> shape) {
  std::uint64_t bits = 1;
  for (const std::int64_t dimension : shape) {
    if (dimension < 0 || __builtin_mul_overflow(bits, static_cast<std::uint64_t>(dimension), &bits))
      return std::nullopt;
  }
  if (__builtin_mul_overflow(bits, static_cast<std::uint64_t>(BitWidth(dtype)), &bits)) return std::nullopt;
  return bits;
}

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_TENSOR_CHECKED_MATH_H_
