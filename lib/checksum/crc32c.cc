// SPDX-License-Identifier: Apache-2.0
#include "lib/checksum/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>

namespace tensorferry {

std::uint32_t Crc32c(std::span<const std::byte> data, std::uint32_t crc) {
  // isa-l takes the size as an int and does not invert the state before and after.
  constexpr std::size_t kMaxPieceBytes = 1U << 30;
  crc = ~crc;
  while (!data.empty()) {
    const std::span<const std::byte> piece = data.first(std::min(data.size(), kMaxPieceBytes));
    // isa-l 2.30 takes a non-const pointer but only reads.
    auto* bytes = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(piece.data()));
    crc = crc32_iscsi(bytes, static_cast<int>(piece.size()), crc);
    data = data.subspan(piece.size());
  }
  return ~crc;
}

}  // namespace tensorferry
