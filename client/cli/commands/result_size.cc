// SPDX-License-Identifier: Apache-2.0
#include "client/cli/commands/result_size.h"

#include <cstdint>
#include <optional>

#include "tensorferry/slice_plan.h"

namespace tensorferry::cli {
absl::StatusOr<std::int64_t> ResultSizeBytes(const TensorInfo& info, const std::optional<SliceSpec>& slice) {
  if (!slice) return info.size_bytes;
  const auto plan = SlicePlan::Create(*slice, info.dtype, info.shape);
  if (!plan.ok()) return plan.status();
  return plan->size_bytes();
}

}  // namespace tensorferry::cli
