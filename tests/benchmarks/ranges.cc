// SPDX-License-Identifier: Apache-2.0
#include "tests/benchmarks/ranges.h"

#include <fstream>

namespace tensorferry::benchmarks {

std::vector<Range> ReadRanges(const std::string& path, std::size_t& total_bytes) {
  std::vector<Range> ranges;
  std::ifstream file(path);
  for (Range range; file >> range.offset >> range.size_bytes;) {
    range.place = total_bytes;
    total_bytes += range.size_bytes;
    ranges.push_back(range);
  }
  return ranges;
}

}  // namespace tensorferry::benchmarks
