// SPDX-License-Identifier: Apache-2.0
#include "client/cli/output/npy.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tensorferry::cli {

std::optional<std::string_view> NpyDescr(Dtype dtype) {
  switch (dtype) {
    case Dtype::kBool:
      return "|b1";
    case Dtype::kU8:
      return "|u1";
    case Dtype::kI8:
      return "|i1";
    case Dtype::kI16:
      return "<i2";
    case Dtype::kU16:
      return "<u2";
    case Dtype::kF16:
      return "<f2";
    case Dtype::kI32:
      return "<i4";
    case Dtype::kU32:
      return "<u4";
    case Dtype::kF32:
      return "<f4";
    case Dtype::kC64:
      return "<c8";
    case Dtype::kF64:
      return "<f8";
    case Dtype::kI64:
      return "<i8";
    case Dtype::kU64:
      return "<u8";
    case Dtype::kF4:
    case Dtype::kF6E2M3:
    case Dtype::kF6E3M2:
    case Dtype::kF8E5M2:
    case Dtype::kF8E4M3:
    case Dtype::kF8E8M0:
    case Dtype::kF8E4M3Fnuz:
    case Dtype::kF8E5M2Fnuz:
    case Dtype::kBf16:
      return std::nullopt;
  }
  return std::nullopt;
}

std::string NpyHeader(std::string_view descr, std::span<const std::int64_t> shape) {
  constexpr std::size_t kAlignment = 64;
  constexpr std::string_view kMagic("\x93NUMPY\x01\x00", 8);
  constexpr std::size_t kPrefixBytes = kMagic.size() + 2;
  std::string dictionary = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}{}), }}", descr,
                                       fmt::join(shape, ", "), shape.size() == 1 ? "," : "");
  // The header ends with a line break. Spaces before the line break align the data.
  const std::size_t unpadded = kPrefixBytes + dictionary.size() + 1;
  dictionary.append((kAlignment - unpadded % kAlignment) % kAlignment, ' ');
  dictionary += '\n';

  std::string header(kMagic);
  header += static_cast<char>(dictionary.size() & 0xFF);
  header += static_cast<char>(dictionary.size() >> 8 & 0xFF);
  return header + dictionary;
}

}  // namespace tensorferry::cli
