// SPDX-License-Identifier: Apache-2.0
#include "client/fetch/running_crc.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/checksum/crc32c.h"
#include "tests/testing/random.h"
#include "tests/testing/safetensors_bytes.h"

namespace tensorferry {
namespace {

std::uint32_t Crc(std::string_view data) { return Crc32c(test::AsBytes(data)); }

// Adds the bytes [begin, end) of `whole`.
void AddRun(RunningCrc& crc, std::string_view whole, std::size_t begin, std::size_t end) {
  crc.Add(Crc(whole.substr(0, begin)), Crc(whole.substr(0, end)), static_cast<std::int64_t>(end - begin));
}

TEST(RunningCrcTest, WithoutRunsHasTheChecksumOfNoBytes) {
  RunningCrc crc;
  EXPECT_EQ(crc.value(), Crc(""));
  AddRun(crc, "abc", 2, 2);
  EXPECT_EQ(crc.value(), Crc(""));
}

TEST(RunningCrcTest, EveryRunHasItsChecksum) {
  test::Random random;
  const std::string whole = random.Bytes(40);
  for (std::size_t begin = 0; begin <= whole.size(); ++begin) {
    for (std::size_t end = begin; end <= whole.size(); ++end) {
      RunningCrc crc;
      AddRun(crc, whole, begin, end);
      ASSERT_EQ(crc.value(), Crc(std::string_view(whole).substr(begin, end - begin))) << begin << " " << end;
    }
  }
}

TEST(RunningCrcTest, WholeChunkIsARun) {
  RunningCrc crc;
  AddRun(crc, "hello", 0, 5);
  EXPECT_EQ(crc.value(), Crc("hello"));
  AddRun(crc, " world", 0, 6);
  EXPECT_EQ(crc.value(), Crc("hello world"));
}

TEST(RunningCrcTest, RunsOfManyChunksHaveTheChecksumOfAllOfThem) {
  test::Random random;
  for (int round = 0; round < 200; ++round) {
    RunningCrc crc;
    std::string all;
    for (std::int64_t runs = random.Between(1, 12); runs > 0; --runs) {
      const std::string message = random.Bytes(random.Below(random.OneIn(10) ? 100'000 : 500));
      const std::size_t begin = random.OneIn(4) ? 0 : random.Below(message.size() + 1);
      const std::size_t end = random.OneIn(4) ? begin : begin + random.Below(message.size() - begin + 1);
      AddRun(crc, message, begin, end);
      all += message.substr(begin, end - begin);
      if (random.OneIn(3)) {
        ASSERT_EQ(crc.value(), Crc(all)) << "between two runs";
      }
    }
    ASSERT_EQ(crc.value(), Crc(all));
  }
}

TEST(RunningCrcTest, SeveralRunsOfOneChunkAreCombined) {
  test::Random random;
  const std::string message = random.Bytes(1000);
  for (int round = 0; round < 100; ++round) {
    RunningCrc crc;
    const std::size_t first = random.Below(message.size());
    std::size_t begin = first;
    while (begin < message.size()) {
      const std::size_t end = begin + 1 + random.Below(message.size() - begin);
      AddRun(crc, message, begin, end);
      begin = end;
    }
    ASSERT_EQ(crc.value(), Crc(std::string_view(message).substr(first)));
  }
}

TEST(RunningCrcTest, CopyIsIndependent) {
  RunningCrc crc;
  AddRun(crc, "..abc", 2, 5);
  RunningCrc copy = crc;
  AddRun(copy, "def", 0, 3);
  EXPECT_EQ(crc.value(), Crc("abc"));
  EXPECT_EQ(copy.value(), Crc("abcdef"));
}

}  // namespace
}  // namespace tensorferry
