// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/dtype.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tensorferry {
namespace {

using ::testing::AnyOf;
using ::testing::Eq;

TEST(DtypeTest, NamesAndWidthsEqualThoseOfTheReference) {
  const std::vector<std::pair<std::string_view, int>> reference = {
      {"BOOL", 8},    {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6},     {"U8", 8},          {"I8", 8},
      {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},
      {"U16", 16},    {"F16", 16},    {"BF16", 16},   {"I32", 32},        {"U32", 32},        {"F32", 32},
      {"C64", 64},    {"F64", 64},    {"I64", 64},    {"U64", 64},
  };
  ASSERT_EQ(reference.size(), static_cast<std::size_t>(kDtypeCount));
  for (const auto& [name, bits] : reference) {
    const auto dtype = ParseDtype(name);
    ASSERT_TRUE(dtype.has_value()) << name;
    EXPECT_EQ(DtypeName(*dtype), name);
    EXPECT_EQ(BitWidth(*dtype), bits) << name;
  }
}

TEST(DtypeTest, AllDtypesHasEachDtypeOnceWithItsOwnName) {
  std::set<Dtype> dtypes;
  std::set<std::string_view> names;
  for (const Dtype dtype : AllDtypes()) {
    dtypes.insert(dtype);
    names.insert(DtypeName(dtype));
    EXPECT_EQ(ParseDtype(DtypeName(dtype)), dtype);
    EXPECT_THAT(BitWidth(dtype), AnyOf(4, 6, 8, 16, 32, 64));
  }
  EXPECT_EQ(dtypes.size(), static_cast<std::size_t>(kDtypeCount));
  EXPECT_EQ(names.size(), static_cast<std::size_t>(kDtypeCount));
}

TEST(DtypeTest, NameThatIsNotExactIsUnknown) {
  for (const std::string_view name : {"", " ", "f32", "F32 ", " F32", "F", "F3", "F322", "bool", "Bool", "BF", "F8",
                                      "F6", "F8_E4M3FN", "F128", "U4", "I4", "C128", "F32\n"}) {
    EXPECT_THAT(ParseDtype(name), Eq(std::nullopt)) << '"' << name << '"';
  }
  EXPECT_THAT(ParseDtype(std::string_view("F32\0", 4)), Eq(std::nullopt));
}

}  // namespace
}  // namespace tensorferry
