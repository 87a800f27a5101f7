// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_TESTING_RANDOM_H_
#define TENSORFERRY_TESTS_TESTING_RANDOM_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <random>
#include <string>

namespace tensorferry::test {

// Reproducible random numbers for a test. The seed is printed, recorded as a property, and part of the message of every
// failure during the lifetime of this object. TENSORFERRY_TEST_SEED sets it.
class Random {
 public:
  Random() : Random(ChooseSeed()) {}
  explicit Random(std::uint64_t seed)
      : generator_(seed), trace_(__FILE__, __LINE__, "run again with TENSORFERRY_TEST_SEED=" + std::to_string(seed)) {
    ::testing::Test::RecordProperty("seed", std::to_string(seed));
    std::printf("seed: TENSORFERRY_TEST_SEED=%s\n", std::to_string(seed).c_str());
    std::fflush(stdout);
  }

  Random(const Random&) = delete;
  Random& operator=(const Random&) = delete;

  // Returns a number in [min, max].
  std::int64_t Between(std::int64_t min, std::int64_t max) {
    return std::uniform_int_distribution<std::int64_t>(min, max)(generator_);
  }
  // Returns a number in [0, size).
  std::size_t Below(std::size_t size) { return std::uniform_int_distribution<std::size_t>(0, size - 1)(generator_); }
  // Returns true with probability 1/n.
  bool OneIn(std::int64_t n) { return Between(1, n) == 1; }

  template <typename Container>
  const auto& ElementOf(const Container& container) {
    return *(container.begin() + static_cast<std::ptrdiff_t>(Below(container.size())));
  }
  std::int64_t OneOf(std::initializer_list<std::int64_t> values) { return ElementOf(values); }

  std::string Bytes(std::size_t size) {
    std::string bytes(size, '\0');
    for (char& byte : bytes) byte = static_cast<char>(Below(256));
    return bytes;
  }

  std::mt19937_64& generator() { return generator_; }

 private:
  static std::uint64_t ChooseSeed() {
    const char* chosen = std::getenv("TENSORFERRY_TEST_SEED");
    return chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : std::random_device()();
  }

  std::mt19937_64 generator_;
  ::testing::ScopedTrace trace_;
};

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_TESTING_RANDOM_H_
