// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_CHECKSUM_MEMCPY_CRC32C_H_
#define TENSORFERRY_LIB_CHECKSUM_MEMCPY_CRC32C_H_

#include <cstddef>
#include <cstdint>
#include <span>

namespace tensorferry {

// Each copies `source` to the beginning of `destination`, which is at least as large and does not overlap it, and
// returns the CRC-32C of what `crc` is the checksum of followed by `source`.

// Leaves both in the caches: for what may be read soon.
std::uint32_t MemcpyCrc32c(std::span<const std::byte> source, std::span<std::byte> destination, std::uint32_t crc);

// Copies past the caches where the processor can: for what is larger than these, whose lines would have to be read
// before they are written, and would displace what is still to be copied. The checksum is taken while the stores are on
// their way, and costs a third of what it does by itself.
std::uint32_t StreamingMemcpyCrc32c(std::span<const std::byte> source, std::span<std::byte> destination,
                                    std::uint32_t crc);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_CHECKSUM_MEMCPY_CRC32C_H_
