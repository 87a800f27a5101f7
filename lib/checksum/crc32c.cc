// SPDX-License-Identifier: Apache-2.0
#include "lib/checksum/crc32c.h"

#include <isa-l/crc.h>

#include <algorithm>

namespace tensorferry {

std::uint32_t Crc32c(std::span<const std::byte> data, std::uint32_t crc) {
  // isa-l takes an int and leaves the inversions before and after to its caller.
  constexpr std::size_t kMaxPiece = 1U << 30;
  crc = ~crc;
  while (!data.empty()) {
    const std::span<const std::byte> piece = data.first(std::min(data.size(), kMaxPiece));
    // The pointer is not const in isa-l 2.30's signature; the function only reads.
    auto* bytes = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(piece.data()));
    crc = crc32_iscsi(bytes, static_cast<int>(piece.size()), crc);
    data = data.subspan(piece.size());
  }
  return ~crc;
}

}  // namespace tensorferry
