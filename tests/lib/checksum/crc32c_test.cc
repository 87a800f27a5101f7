// SPDX-License-Identifier: Apache-2.0
#include "lib/checksum/crc32c.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/testing/random.h"
#include "tests/testing/safetensors_bytes.h"

namespace tensorferry {
namespace {

using test::AsBytes;

// The vectors of RFC 3720, appendix B.4.
TEST(Crc32cTest, VectorsOfTheRfcHaveTheirChecksums) {
  std::string ascending(32, '\0');
  for (std::size_t i = 0; i < ascending.size(); ++i) ascending[i] = static_cast<char>(i);
  const std::string descending(ascending.rbegin(), ascending.rend());
  EXPECT_EQ(Crc32c({}), 0U);
  EXPECT_EQ(Crc32c(AsBytes("123456789")), 0xE3069283U);
  EXPECT_EQ(Crc32c(AsBytes(std::string(32, '\0'))), 0x8A9136AAU);
  EXPECT_EQ(Crc32c(AsBytes(std::string(32, '\xFF'))), 0x62A8AB43U);
  EXPECT_EQ(Crc32c(AsBytes(ascending)), 0x46DD794EU);
  EXPECT_EQ(Crc32c(AsBytes(descending)), 0x113FDB5CU);
}

TEST(Crc32cTest, PiecesGiveTheChecksumOfTheWholeWhereverItIsCut) {
  test::Random random;
  const std::string data = random.Bytes(1000);
  const std::uint32_t whole = Crc32c(AsBytes(data));
  for (std::size_t cut = 0; cut <= data.size(); ++cut) {
    const std::string_view view = data;
    EXPECT_EQ(Crc32c(AsBytes(view.substr(cut)), Crc32c(AsBytes(view.substr(0, cut)))), whole) << cut;
  }
}

}  // namespace
}  // namespace tensorferry
