// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_CHECKSUM_MEMCPY_CRC32C_H_
#define TENSORFERRY_LIB_CHECKSUM_MEMCPY_CRC32C_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace tensorferry {

// Both functions copy `source` to the beginning of `destination`, which must be at least as large and must not overlap
// it. Both return Crc32c(source, crc).

// Leaves source and destination in the caches. Use it for bytes that are read again soon.
std::uint32_t MemcpyCrc32c(std::span<const std::byte> source, std::span<std::byte> destination, std::uint32_t crc);

// Copies with non-temporal stores where the processor has the instructions. Use it for copies larger than the caches:
// ordinary stores read each line before they write it, and evict bytes that are still to be copied. The checksum is
// computed while the stores are in flight, at a third of its usual cost.
std::uint32_t StreamingMemcpyCrc32c(std::span<const std::byte> source, std::span<std::byte> destination,
                                    std::uint32_t crc);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CHECKSUM_MEMCPY_CRC32C_H_
