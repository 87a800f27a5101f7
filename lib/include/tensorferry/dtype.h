// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_DTYPE_H_
#define TENSORFERRY_DTYPE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tensorferry {

// The element types of the safetensors format, narrowest first. Names follow the format's reference.
enum class Dtype : std::uint8_t {
  kBool,
  kF4,
  kF6E2M3,
  kF6E3M2,
  kU8,
  kI8,
  kF8E5M2,
  kF8E4M3,
  kF8E8M0,
  kF8E4M3Fnuz,
  kF8E5M2Fnuz,
  kI16,
  kU16,
  kF16,
  kBf16,
  kI32,
  kU32,
  kF32,
  kC64,
  kF64,
  kI64,
  kU64,
};

// The number of dtypes.
inline constexpr int kDtypeCount = 22;

// Returns all dtypes, in the order of the enumeration.
constexpr std::array<Dtype, kDtypeCount> AllDtypes() {
  std::array<Dtype, kDtypeCount> all{};
  for (int i = 0; i < kDtypeCount; ++i) all[static_cast<std::size_t>(i)] = static_cast<Dtype>(i);
  return all;
}

// Returns the name in a safetensors header, for example "BF16" or "F8_E4M3". The text is static.
std::string_view DtypeName(Dtype dtype);

// Returns the dtype with this name, or nothing. Case matters.
std::optional<Dtype> ParseDtype(std::string_view name);

// Returns the width of one element in bits: 4, 6, 8, 16, 32 or 64. A BOOL has 8 bits.
int BitWidth(Dtype dtype);

}  // namespace tensorferry

#endif  // TENSORFERRY_DTYPE_H_
