// SPDX-License-Identifier: Apache-2.0
#include "lib/checksum/crc32c_combine.h"

#include <array>
#include <bit>
#include <cstddef>

namespace tensorferry {
namespace {

// A CRC is a polynomial over GF(2), modulo Castagnoli's polynomial. Its most significant bit is the coefficient of x^0.
constexpr std::uint32_t kPolynomial = 0x82F63B78;
constexpr std::uint32_t kOne = 0x80000000;
constexpr std::uint32_t kByte = kOne >> 8;  // x^8

constexpr std::uint32_t Multiply(std::uint32_t a, std::uint32_t b) {
  std::uint32_t product = 0;
  for (int i = 31; i >= 0; --i) {
    product ^= b & (0U - ((a >> i) & 1U));
    b = (b >> 1) ^ (kPolynomial & (0U - (b & 1U)));  // times x
  }
  return product;
}

// Element k is x^(8 * 2^k), the factor for 2^k following bytes.
constexpr std::array<std::uint32_t, 63> kFactors = [] {
  std::array<std::uint32_t, 63> factors = {};
  std::uint32_t factor = kByte;
  for (std::uint32_t& element : factors) {
    element = factor;
    factor = Multiply(factor, factor);
  }
  return factors;
}();

// Returns the contribution of bytes with this CRC to the CRC of the same bytes followed by `size_bytes` more.
std::uint32_t Shift(std::uint32_t crc, std::int64_t size_bytes) {
  for (auto bits = static_cast<std::uint64_t>(size_bytes); bits != 0; bits &= bits - 1) {
    crc = Multiply(kFactors[static_cast<std::size_t>(std::countr_zero(bits))], crc);
  }
  return crc;
}

}  // namespace

// The inversions before and after each CRC cancel out: one adds to the second part what the other removes.
std::uint32_t Crc32cCombine(std::uint32_t first, std::uint32_t second, std::int64_t second_size_bytes) {
  return Shift(first, second_size_bytes) ^ second;
}

std::uint32_t Crc32cWithoutPrefix(std::uint32_t whole, std::uint32_t prefix, std::int64_t rest_size_bytes) {
  return Shift(prefix, rest_size_bytes) ^ whole;
}

}  // namespace tensorferry
