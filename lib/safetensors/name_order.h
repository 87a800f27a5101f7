// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_SAFETENSORS_NAME_ORDER_H_
#define TENSORFERRY_LIB_SAFETENSORS_NAME_ORDER_H_

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace tensorferry::safetensors {

// The indices of `names` in the bytewise order of the names, equal ones in the order that they have. No name may hold a
// NUL. Made for names that share long beginnings, as tensors' do: those are not compared again and again.
std::vector<std::uint32_t> OrderOfNames(std::span<const std::string_view> names);

}  // namespace tensorferry::safetensors

#endif  // TENSORFERRY_LIB_SAFETENSORS_NAME_ORDER_H_
