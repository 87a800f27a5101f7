// SPDX-License-Identifier: Apache-2.0
#include "lib/checksum/sha256.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "tests/testing/safetensors_bytes.h"

namespace tensorferry {
namespace {

std::string Of(std::initializer_list<std::string_view> pieces) {
  Sha256 digest;
  for (const std::string_view piece : pieces) digest.Add(test::AsBytes(piece));
  return digest.Finish();
}

std::string OfTexts(std::initializer_list<std::string_view> texts) {
  Sha256 digest;
  for (const std::string_view text : texts) digest.AddText(text);
  return digest.Finish();
}

// The vectors of FIPS 180-2, appendix B, and the digest of no bytes.
TEST(Sha256Test, VectorsOfTheStandardHaveTheirDigests) {
  EXPECT_EQ(Of({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Of({"abc"}), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Of({"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"}),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Of({std::string(1'000'000, 'a')}), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256Test, PiecesGiveTheDigestOfTheWhole) {
  EXPECT_EQ(Of({"a", "", "bc"}), Of({"abc"}));
  Sha256 begun;
  begun.Add(test::AsBytes("ab"));
  Sha256 moved = std::move(begun);
  moved.Add(test::AsBytes("c"));
  EXPECT_EQ(moved.Finish(), Of({"abc"}));
}

TEST(Sha256Test, TextsThatAreDividedDifferentlyHaveDifferentDigests) {
  EXPECT_EQ(OfTexts({"a", "bc"}), OfTexts({"a", "bc"}));
  EXPECT_NE(OfTexts({"a", "bc"}), OfTexts({"ab", "c"}));
  EXPECT_NE(OfTexts({"abc"}), OfTexts({"abc", ""}));
  EXPECT_NE(OfTexts({"1:a"}), OfTexts({"a"}));
}

}  // namespace
}  // namespace tensorferry
