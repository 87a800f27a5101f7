// SPDX-License-Identifier: Apache-2.0
// Globs, pages and addresses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "lib/security/address.h"
#include "server/glob.h"
#include "server/listen_address.h"
#include "server/page.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry::server {
namespace {

using test::StatusIs;
using ::testing::HasSubstr;

constexpr auto kInvalidArgument = absl::StatusCode::kInvalidArgument;

bool Matches(std::string_view pattern, std::string_view name) {
  const absl::StatusOr<Glob> glob = Glob::Create(pattern);
  EXPECT_TRUE(glob.ok()) << glob.status();
  return glob.ok() && glob->Matches(name);
}

TEST(GlobTest, MatchesWholeNames) {
  EXPECT_TRUE(Matches("a*", "abc"));
  EXPECT_TRUE(Matches("*", ""));
  EXPECT_TRUE(Matches("*", "a.b/c\nd"));
  EXPECT_FALSE(Matches("b", "abc"));
  EXPECT_TRUE(Matches("layers.?.w", "layers.1.w"));
  EXPECT_FALSE(Matches("layers.?.w", "layers.12.w"));
  EXPECT_FALSE(Matches("a.c", "abc")) << "a dot is a dot";
  EXPECT_TRUE(Matches("?", "ä")) << "a character, not a byte";
}

TEST(GlobTest, Sets) {
  EXPECT_TRUE(Matches("l[0-3]", "l2"));
  EXPECT_FALSE(Matches("l[0-3]", "l4"));
  EXPECT_TRUE(Matches("l[!0-3]", "l4"));
  EXPECT_FALSE(Matches("l[!0-3]", "l3"));
  EXPECT_TRUE(Matches("[]]", "]"));
  EXPECT_TRUE(Matches("[a^]", "^"));
  EXPECT_TRUE(Matches("[[]", "["));
}

TEST(GlobTest, BackslashTakesTheNextLiterally) {
  EXPECT_TRUE(Matches("\\*", "*"));
  EXPECT_FALSE(Matches("\\*", "a"));
  EXPECT_TRUE(Matches("\\d", "d"));
}

TEST(GlobTest, BadPatternsAreNamed) {
  EXPECT_THAT(Glob::Create("a[b"), StatusIs(kInvalidArgument, HasSubstr("\"a[b\"")));
  EXPECT_THAT(Glob::Create("a\\"), StatusIs(kInvalidArgument, HasSubstr("backslash")));
  EXPECT_THAT(Glob::Create("[z-a]"), StatusIs(kInvalidArgument));
  EXPECT_THAT(Glob::Create(std::string(2000, '*')), StatusIs(kInvalidArgument, HasSubstr("1024")));
  EXPECT_THAT(Glob::Create("\xff"), StatusIs(kInvalidArgument));
}

TEST(GlobTest, WhatIsWrongWithASetIsSaidWithoutItsControlCharacters) {
  const absl::Status status = Glob::Create("[t-\x06]").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message().find('\x06'), absl::string_view::npos) << status;
}

TEST(GlobTest, PatternThatMakesOthersExponentialEnds) {
  std::string pattern;
  for (int i = 0; i < 300; ++i) pattern += "*a";
  EXPECT_FALSE(Matches(pattern + "b", std::string(4000, 'a')));
}

TEST(PageTest, ContinuesBehindTheLastName) {
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

TEST(PageTest, RefusesWhatItDidNotMake) {
  EXPECT_THAT(Page::Create(-1, ""), StatusIs(kInvalidArgument, HasSubstr("-1")));
  EXPECT_THAT(Page::Create(0, "?"), StatusIs(kInvalidArgument, HasSubstr("page_token")));
  EXPECT_THAT(Page::Create(0, "aGVsbG8="), StatusIs(kInvalidArgument, HasSubstr("page_token")));
}

TEST(ListenAddressTest, Loopback) {
  for (const char* address : {"127.0.0.1:0", "127.9.9.9:1", "[::1]:7070", "localhost:1", "unix:/tmp/s", "unix:s"}) {
    EXPECT_TRUE(IsLoopback(address)) << address;
  }
  for (const char* address : {"0.0.0.0:0", "[::]:7070", "10.0.0.1:1", "*:7070", "example.com:1", "", "128.0.0.1:1",
                              "127.0.0.1.example.com:1"}) {
    EXPECT_FALSE(IsLoopback(address)) << address;
  }
}

TEST(ListenAddressTest, HostAndPortAreSplit) {
  const auto split = [](std::string_view address) {
    const HostPort parts = SplitHostPort(address);
    return std::string(parts.host) + " " + std::string(parts.port);
  };
  EXPECT_EQ(split("127.0.0.1:0"), "127.0.0.1 0");
  EXPECT_EQ(split("[::1]:7070"), "::1 7070");
  EXPECT_EQ(split("dns:///a.example:1"), "a.example 1");
  EXPECT_EQ(split("dns:a.example:1"), "a.example 1");
  EXPECT_EQ(split("ipv4:10.0.0.1:1"), "10.0.0.1 1");
  EXPECT_EQ(split("ipv6:[fe80::1]:1"), "fe80::1 1");
  EXPECT_EQ(split("host"), "host ");
  EXPECT_EQ(split("[::1]"), "::1 ");
  EXPECT_EQ(split("::1:7070"), "::1:7070 ") << "which may be an address as a whole";
  EXPECT_EQ(split("[::1]7070"), "[::1]7070 ");
  EXPECT_EQ(split("[::1:7070"), "[::1:7070 ");
  EXPECT_EQ(split("host:"), "host ");
  EXPECT_EQ(split("dns:7071"), "7071 ");
  EXPECT_EQ(split(""), " ");
}

TEST(ListenAddressTest, MalformedAddressesAreNamed) {
  for (const char* address : {"127.0.0.1", "localhost", "", ":1", "127.0.0.1:x", "127.0.0.1:-1", "127.0.0.1:65536",
                              "127.0.0.1:", "::1:7070", "unix:", "unix-abstract:", "unix://", "unix://s", "[::1]",
                              "ipv4:0", "dns:7071", "[]:1", "[::1]:", "[::1]:1:1"}) {
    EXPECT_THAT(CheckListenAddress(address), StatusIs(kInvalidArgument, HasSubstr(std::string("\"") + address + "\"")))
        << address;
  }
  for (const char* address : {"127.0.0.1:0", "[::1]:65535", "localhost:1", "ipv4:127.0.0.1:0", "ipv6:[::1]:1",
                              "dns:///localhost:1", "unix:s", "unix:/s:", "unix:///s", "unix-abstract:s"}) {
    TF_EXPECT_OK(CheckListenAddress(address));
  }
}

TEST(ListenAddressTest, PathsOfUnixSocketsAreReadAsGrpcDoes) {
  EXPECT_EQ(UnixPath("unix:s"), "s");
  EXPECT_EQ(UnixPath("unix:/tmp/s"), "/tmp/s");
  EXPECT_EQ(UnixPath("unix:///tmp/s"), "/tmp/s");
  EXPECT_EQ(UnixPath("unix-abstract:s"), std::string("\0s", 2));
}

TEST(ListenAddressTest, ChosenPortReplacesTheOneAskedFor) {
  EXPECT_EQ(WithPort("127.0.0.1:0", 4711), "127.0.0.1:4711");
  EXPECT_EQ(WithPort("[::1]:0", 4711), "[::1]:4711");
  EXPECT_EQ(WithPort("unix:/tmp/s", 1), "unix:/tmp/s");
}

}  // namespace
}  // namespace tensorferry::server
