// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_BENCHMARKS_RANGES_H_
#define TENSORFERRY_TESTS_BENCHMARKS_RANGES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace tensorferry::benchmarks {

// A range of a file to request from a peer, and its place in memory.
struct Range {
  std::int64_t offset = 0;
  std::size_t size_bytes = 0;
  std::size_t place = 0;  // offset in memory, after the ranges before it
};

// Reads a file with the offset and size in bytes of a range on each line. Adds the sizes to `total_bytes`.
std::vector<Range> ReadRanges(const std::string& path, std::size_t& total_bytes);

}  // namespace tensorferry::benchmarks

#endif  // TENSORFERRY_TESTS_BENCHMARKS_RANGES_H_
