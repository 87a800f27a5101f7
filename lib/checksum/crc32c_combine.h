// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_CHECKSUM_CRC32C_COMBINE_H_
#define TENSORFERRY_LIB_CHECKSUM_CRC32C_COMBINE_H_

#include <cstdint>

namespace tensorferry {

// Arithmetic on CRC-32Cs of bytes that are not at hand. Sizes must not be negative. Each takes one multiplication (some
// 20 ns) for each bit that is set in the size.

// Returns the CRC-32C of A followed by B, from that of A and that of B, which has `second_size_bytes`.
std::uint32_t Crc32cCombine(std::uint32_t first, std::uint32_t second, std::int64_t second_size_bytes);

// Returns the CRC-32C of B, which has `rest_size_bytes`, from that of A followed by B and that of A.
std::uint32_t Crc32cWithoutPrefix(std::uint32_t whole, std::uint32_t prefix, std::int64_t rest_size_bytes);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CHECKSUM_CRC32C_COMBINE_H_
