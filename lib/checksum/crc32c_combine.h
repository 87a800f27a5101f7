// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_CHECKSUM_CRC32C_COMBINE_H_
#define TENSORFERRY_LIB_CHECKSUM_CRC32C_COMBINE_H_

#include <cstdint>

namespace tensorferry {

// Arithmetic on CRC-32Cs, without the bytes themselves. Sizes must not be negative. The cost is one multiplication,
// about 20 ns, for each bit that is set in the size.

// Returns the CRC-32C of A followed by B, from those of A and B. B has `second_size_bytes`.
std::uint32_t Crc32cCombine(std::uint32_t first, std::uint32_t second, std::int64_t second_size_bytes);

// Returns the CRC-32C of B, from those of A followed by B and of A. B has `rest_size_bytes`.
std::uint32_t Crc32cWithoutPrefix(std::uint32_t whole, std::uint32_t prefix, std::int64_t rest_size_bytes);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CHECKSUM_CRC32C_COMBINE_H_
