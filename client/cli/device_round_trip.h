// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLI_DEVICE_ROUND_TRIP_H_
#define TENSORFERRY_CLI_DEVICE_ROUND_TRIP_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "tensorferry/client.h"
#include "tensorferry/cuda.h"

namespace tensorferry::cli {

// Fetches one tensor, or one slice of it, of `size_bytes` into the memory of `device`, reads it back, and holds what
// came back against the checksums of what was received. Errors: those of the fetch and of the device; DATA_LOSS: what
// came back is not what went there.
absl::StatusOr<Tensor> FetchByWayOf(const CudaDevice& device, const Client& client, const std::string& model,
                                    const std::string& tensor, const std::optional<SliceSpec>& slice,
                                    std::int64_t size_bytes, const FetchOptions& options);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLI_DEVICE_ROUND_TRIP_H_
