// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_TENSOR_CHECKED_MATH_H_
#define TENSORFERRY_LIB_TENSOR_CHECKED_MATH_H_

#include <cstdint>
#include <optional>
#include <span>

#include "tensorferry/dtype.h"

namespace tensorferry {

// Returns the size of a tensor in bits, or nothing if it overflows 64 bits or a dimension is negative. Multiplies in
// dimension order, so that an overflow counts even before a dimension of zero, as in the format's reference.
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
