// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_CHECKSUM_CRC32C_H_
#define TENSORFERRY_LIB_CHECKSUM_CRC32C_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace tensorferry {

// Returns the CRC-32C of `data` (Castagnoli, RFC 3720). With the `crc` of earlier bytes, returns that of those bytes
// followed by `data`. Runs at hardware speed: isa-l selects the instructions at run time.
std::uint32_t Crc32c(std::span<const std::byte> data, std::uint32_t crc = 0);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CHECKSUM_CRC32C_H_
