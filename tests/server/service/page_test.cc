// SPDX-License-Identifier: Apache-2.0
#include "server/service/page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/testing/status_matchers.h"

namespace tensorferry::server {
namespace {

using test::StatusIs;
using ::testing::HasSubstr;

constexpr auto kInvalidArgument = absl::StatusCode::kInvalidArgument;

TEST(PageTest, TokenContinuesAfterTheLastName) {
  for (const std::string name : {"", "a", "\xC3\xA4/\n"}) {
    TF_ASSERT_OK_AND_ASSIGN(const Page page, Page::Create(0, Page::MakeToken(name)));
    EXPECT_FALSE(page.first());
    EXPECT_EQ(page.after(), name);
    EXPECT_EQ(page.generation(), "");
    TF_ASSERT_OK_AND_ASSIGN(const Page of_generation, Page::Create(0, Page::MakeToken(name + ":b", "01ab")));
    EXPECT_EQ(of_generation.after(), name + ":b");
    EXPECT_EQ(of_generation.generation(), "01ab");
  }
}

TEST(PageTest, EndsAfterItemsOrBytes) {
  TF_ASSERT_OK_AND_ASSIGN(Page items, Page::Create(2, ""));
  EXPECT_TRUE(items.first());
  items.Add(1);
  EXPECT_FALSE(items.full());
  items.Add(1);
  EXPECT_TRUE(items.full());
  TF_ASSERT_OK_AND_ASSIGN(Page bytes, Page::Create(1000, ""));
  bytes.Add(std::size_t{2} << 20);
  EXPECT_TRUE(bytes.full());
}

TEST(PageTest, ForeignTokenAndNegativeSizeAreErrors) {
  EXPECT_THAT(Page::Create(-1, ""), StatusIs(kInvalidArgument, HasSubstr("-1")));
  EXPECT_THAT(Page::Create(0, "?"), StatusIs(kInvalidArgument, HasSubstr("page_token")));
  EXPECT_THAT(Page::Create(0, "aGVsbG8="), StatusIs(kInvalidArgument, HasSubstr("page_token")));
}

}  // namespace
}  // namespace tensorferry::server
