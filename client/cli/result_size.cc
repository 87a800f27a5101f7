// SPDX-License-Identifier: Apache-2.0
#include "client/cli/result_size.h"

#include <fmt/format.h>

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "client/cli/human.h"
#include "tensorferry/quote.h"
#include "tensorferry/tensor/slice_plan.h"

namespace tensorferry::cli {
namespace {

// Whether `size_bytes` is what the dtype and the shape say. A slice plan takes that for granted.
bool IsConsistent(const TensorInfo& info) {
  std::int64_t bits = BitWidth(info.dtype);
  for (const std::int64_t dimension : info.shape) {
    if (dimension < 0 || __builtin_mul_overflow(bits, dimension, &bits)) return false;
  }
  return bits % 8 == 0 && bits / 8 == info.size_bytes;
}

}  // namespace

absl::StatusOr<std::int64_t> ResultSizeBytes(const TensorInfo& info, const std::optional<SliceSpec>& slice) {
  if (!IsConsistent(info)) {
    return absl::DataLossError(fmt::format("the server says that tensor {} is {} {} and has {} bytes, which cannot be",
                                           Quote(info.name), DtypeName(info.dtype), HumanShape(info.shape),
                                           info.size_bytes));
  }
  if (!slice) return info.size_bytes;
  const auto plan = SlicePlan::Create(*slice, info.dtype, info.shape);
  if (!plan.ok()) return plan.status();
  return plan->size_bytes();
}

}  // namespace tensorferry::cli
