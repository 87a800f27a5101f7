// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_CHECKSUM_CRC32C_H_
#define TENSORFERRY_LIB_CHECKSUM_CRC32C_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace tensorferry {

// The CRC-32C (Castagnoli, RFC 3720) of `data`, or of what `crc` is the checksum of followed by `data`.
// Hardware speed: isa-l picks the instructions at run time.
std::uint32_t Crc32c(std::span<const std::byte> data, std::uint32_t crc = 0);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CHECKSUM_CRC32C_H_
