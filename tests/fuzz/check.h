// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_FUZZ_CHECK_H_
#define TENSORFERRY_TESTS_FUZZ_CHECK_H_

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace tensorferry::fuzz {

// Ends the program, which is how a fuzz target says that it found something, unless `holds`.
inline void Check(bool holds, std::string_view what) {
  if (holds) return;
  std::fprintf(stderr, "fuzz: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

}  // namespace tensorferry::fuzz

#endif  // TENSORFERRY_TESTS_FUZZ_CHECK_H_
