// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_SAFETENSORS_NAME_ORDER_H_
#define TENSORFERRY_LIB_SAFETENSORS_NAME_ORDER_H_

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace tensorferry::safetensors {

// Returns the indices of `names` in the bytewise order of the names. Equal names keep their order. No name may contain
// a NUL. Compares long common prefixes, which names of tensors have, only once.
std::vector<std::uint32_t> OrderOfNames(std::span<const std::string_view> names);

}  // namespace tensorferry::safetensors

#endif  // TENSORFERRY_LIB_SAFETENSORS_NAME_ORDER_H_
