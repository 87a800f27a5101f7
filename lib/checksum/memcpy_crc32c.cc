// SPDX-License-Identifier: Apache-2.0
#include "lib/checksum/memcpy_crc32c.h"

#include <immintrin.h>

#include <cstring>

#include "lib/checksum/crc32c.h"

namespace tensorferry {
namespace {

constexpr std::size_t kLineBytes = 64;
// The crc32 instruction has a latency of three cycles and a throughput of one per cycle. A block's three lanes are
// therefore computed at the same time.
constexpr std::size_t kLanes = 3;
constexpr std::size_t kLaneBytes = 1024;
constexpr std::size_t kBlockBytes = kLanes * kLaneBytes;

// Returns x^`exponent` modulo the polynomial of CRC-32C. Bit i is the coefficient of x^(31 - i).
constexpr std::uint32_t PowerOfX(std::size_t exponent) {
  std::uint32_t power = 0x80000000;
  for (; exponent > 0; --exponent) power = power >> 1 ^ ((power & 1) != 0 ? 0x82F63B78 : 0);
  return power;
}

// Returns the state after a lane of zeros, which is the product with x^(8 * kLaneBytes). The multiplication adds a
// factor of x, and crc32 of 8 bytes adds one of x^32: the constant leaves both out.
__attribute__((target("sse4.2,pclmul"))) std::uint64_t SkipLane(std::uint64_t crc) {
  constexpr std::uint32_t kFactor = PowerOfX(8 * kLaneBytes - 33);
  const __m128i product =
      _mm_clmulepi64_si128(_mm_cvtsi64_si128(static_cast<std::int64_t>(crc)), _mm_cvtsi64_si128(kFactor), 0);
  return _mm_crc32_u64(0, static_cast<std::uint64_t>(_mm_cvtsi128_si64(product)));
}

// Copies one cache line with non-temporal stores. Write whole lines one after the other: a processor has few
// write-combining buffers.
void StreamLine(const std::byte* from, std::byte* to) {
  const auto* words = reinterpret_cast<const __m128i*>(from);
  auto* line = reinterpret_cast<__m128i*>(to);
  const __m128i first = _mm_loadu_si128(words);
  const __m128i second = _mm_loadu_si128(words + 1);
  const __m128i third = _mm_loadu_si128(words + 2);
  const __m128i fourth = _mm_loadu_si128(words + 3);
  _mm_stream_si128(line, first);
  _mm_stream_si128(line + 1, second);
  _mm_stream_si128(line + 2, third);
  _mm_stream_si128(line + 3, fourth);
}

std::uint64_t Load(const std::byte* from) {
  std::uint64_t word = 0;
  std::memcpy(&word, from, sizeof(word));
  return word;
}

// Copies a block to a line-aligned `to` with non-temporal stores. Returns the new state, given the state `crc`. States
// are not inverted.
__attribute__((target("sse4.2,pclmul"))) std::uint64_t StreamBlock(const std::byte* from, std::byte* to,
                                                                   std::uint64_t crc) {
  std::uint64_t second = 0;
  std::uint64_t third = 0;
  for (std::size_t i = 0; i < kLaneBytes; i += kLineBytes) {
    for (std::size_t line = 0; line < kLanes; ++line) {
      StreamLine(from + kLanes * i + line * kLineBytes, to + kLanes * i + line * kLineBytes);
    }
    for (const std::byte* word = from + i; word < from + i + kLineBytes; word += sizeof(std::uint64_t)) {
      crc = _mm_crc32_u64(crc, Load(word));
      second = _mm_crc32_u64(second, Load(word + kLaneBytes));
      third = _mm_crc32_u64(third, Load(word + 2 * kLaneBytes));
    }
  }
  return SkipLane(SkipLane(crc) ^ second) ^ third;
}

bool HasInstructions() {
  static const bool has = __builtin_cpu_supports("sse4.2") != 0 && __builtin_cpu_supports("pclmul") != 0;
  return has;
}

}  // namespace

std::uint32_t MemcpyCrc32c(std::span<const std::byte> source, std::span<std::byte> destination, std::uint32_t crc) {
  if (!source.empty()) std::memcpy(destination.data(), source.data(), source.size());
  return Crc32c(source, crc);
}

std::uint32_t StreamingMemcpyCrc32c(std::span<const std::byte> source, std::span<std::byte> destination,
                                    std::uint32_t crc) {
  const std::size_t to_line =
      (kLineBytes - reinterpret_cast<std::uintptr_t>(destination.data()) % kLineBytes) % kLineBytes;
  if (source.size() < to_line + kBlockBytes || !HasInstructions()) return MemcpyCrc32c(source, destination, crc);
  crc = MemcpyCrc32c(source.first(to_line), destination, crc);
  std::uint64_t state = ~crc;
  std::size_t done = to_line;
  for (; source.size() - done >= kBlockBytes; done += kBlockBytes) {
    state = StreamBlock(source.data() + done, destination.data() + done, state);
  }
  const std::size_t lines_end = source.size() - (source.size() - done) % kLineBytes;
  const std::span<const std::byte> rest = source.subspan(done);
  for (; done < lines_end; done += kLineBytes) StreamLine(source.data() + done, destination.data() + done);
  // Orders the non-temporal stores before the store that later publishes the bytes to another thread.
  _mm_sfence();
  if (done < source.size()) std::memcpy(destination.data() + done, source.data() + done, source.size() - done);
  return Crc32c(rest, ~static_cast<std::uint32_t>(state));
}

}  // namespace tensorferry
