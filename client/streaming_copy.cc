// SPDX-License-Identifier: Apache-2.0
#include "client/streaming_copy.h"

#include <cstdint>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace tensorferry {

#ifdef __SSE2__

void StreamingCopy(std::span<const std::byte> source, std::span<std::byte> destination) {
  constexpr std::size_t kLine = 64;
  const std::byte* from = source.data();
  std::byte* to = destination.data();
  std::size_t left = source.size();
  const std::size_t to_line = (kLine - reinterpret_cast<std::uintptr_t>(to) % kLine) % kLine;
  if (left < to_line + kLine) {
    if (left > 0) std::memcpy(to, from, left);
    return;
  }
  std::memcpy(to, from, to_line);
  from += to_line;
  to += to_line;
  left -= to_line;
  // Whole lines, so that none of them has to be read.
  for (; left >= kLine; left -= kLine, from += kLine, to += kLine) {
    const auto* words = reinterpret_cast<const __m128i*>(from);
    const __m128i first = _mm_loadu_si128(words);
    const __m128i second = _mm_loadu_si128(words + 1);
    const __m128i third = _mm_loadu_si128(words + 2);
    const __m128i fourth = _mm_loadu_si128(words + 3);
    auto* line = reinterpret_cast<__m128i*>(to);
    _mm_stream_si128(line, first);
    _mm_stream_si128(line + 1, second);
    _mm_stream_si128(line + 2, third);
    _mm_stream_si128(line + 3, fourth);
  }
  std::memcpy(to, from, left);
  // Such stores are not ordered with those by which another thread hears that the bytes are there.
  _mm_sfence();
}

#else

void StreamingCopy(std::span<const std::byte> source, std::span<std::byte> destination) {
  if (!source.empty()) std::memcpy(destination.data(), source.data(), source.size());
}

#endif

}  // namespace tensorferry
