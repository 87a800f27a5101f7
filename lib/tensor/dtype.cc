// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/dtype.h"

#include <array>
#include <cstddef>

namespace tensorferry {
namespace {

struct DtypeTraits {
  std::string_view name;
  int bits;
};

// Indexed by Dtype.
constexpr std::array<DtypeTraits, kDtypeCount> kTraits = {{
    {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
    {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
    {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
    {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
}};
static_assert(kTraits.back().bits == 64, "every dtype has a row");

}  // namespace

std::string_view DtypeName(Dtype dtype) { return kTraits[static_cast<std::size_t>(dtype)].name; }

std::optional<Dtype> ParseDtype(std::string_view name) {
  for (const Dtype dtype : AllDtypes()) {
    if (DtypeName(dtype) == name) return dtype;
  }
  return std::nullopt;
}

int BitWidth(Dtype dtype) { return kTraits[static_cast<std::size_t>(dtype)].bits; }

}  // namespace tensorferry
