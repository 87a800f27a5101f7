// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_TESTING_SLICE_ORACLE_H_
#define TENSORFERRY_TESTS_TESTING_SLICE_ORACLE_H_

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "tensorferry/dtype.h"
#include "tensorferry/slice.h"

namespace tensorferry::test {

// The result of a slice, computed element by element and bit by bit. Slow, and simple enough to be obviously right.
struct SliceResult {
  std::vector<std::int64_t> shape;
  // For each byte of the result, the index of the same byte in the tensor.
  std::vector<std::int64_t> source_bytes;
};

// Returns the result of a slice, or nothing if the slice does not fit the tensor: too many entries, an index out of
// bounds, a step below 1, or a byte of the result that is not one whole byte of the tensor.
std::optional<SliceResult> SliceByBruteForce(const SliceSpec& spec, Dtype dtype, std::span<const std::int64_t> shape);

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_TESTING_SLICE_ORACLE_H_
