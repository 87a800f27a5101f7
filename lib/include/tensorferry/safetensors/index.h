// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SAFETENSORS_INDEX_H_
#define TENSORFERRY_SAFETENSORS_INDEX_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "tensorferry/safetensors/header.h"

namespace tensorferry::safetensors {

// The `weight_map` of a `*.safetensors.index.json`: pairs of a tensor's name and the name of its file, ordered by
// tensor.
using WeightMap = std::vector<std::pair<std::string, std::string>>;

// Parses an index from an untrusted source.
// Errors: DATA_LOSS:
// - not JSON, no `weight_map`, or over a limit
// - a duplicate key, or a value that is not a string
// - a file that does not end with `.safetensors` or is not in the folder of the index
absl::StatusOr<WeightMap> ParseIndex(std::string_view json, const Limits& limits = {});

}  // namespace tensorferry::safetensors

#endif  // TENSORFERRY_SAFETENSORS_INDEX_H_
