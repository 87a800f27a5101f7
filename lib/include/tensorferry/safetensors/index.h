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

// The `weight_map` of a `*.safetensors.index.json`: tensor name and the name of the file that holds it, ordered by
// tensor name.
using WeightMap = std::vector<std::pair<std::string, std::string>>;

// Parses an index, which comes from an untrusted source.
// Errors: DATA_LOSS: not JSON, no `weight_map`, a key twice, a value that is not a string, or a file name that is not
// that of a `.safetensors` file in the index's own folder.
absl::StatusOr<WeightMap> ParseIndex(std::string_view json, const Limits& limits = {});

}  // namespace tensorferry::safetensors

#endif  // TENSORFERRY_SAFETENSORS_INDEX_H_
