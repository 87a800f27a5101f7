// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_COMMANDS_RESULT_SIZE_H_
#define TENSORFERRY_CLIENT_CLI_COMMANDS_RESULT_SIZE_H_

#include <cstdint>
#include <optional>

#include "absl/status/statusor.h"
#include "tensorferry/slice.h"
#include "tensorferry/tensor_info.h"

namespace tensorferry::cli {

// How many bytes a read of `slice` (absent: everything) of the tensor gives.
// Errors: INVALID_ARGUMENT: the slice does not fit.
absl::StatusOr<std::int64_t> ResultSizeBytes(const TensorInfo& info, const std::optional<SliceSpec>& slice);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_COMMANDS_RESULT_SIZE_H_
