// SPDX-License-Identifier: Apache-2.0
#include "server/net/listen_address.h"

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

TEST(ListenAddressTest, MalformedAddressIsNamed) {
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

TEST(ListenAddressTest, UnixPathParsesTheFormsOfGrpc) {
  EXPECT_EQ(UnixPath("unix:s"), "s");
  EXPECT_EQ(UnixPath("unix:/tmp/s"), "/tmp/s");
  EXPECT_EQ(UnixPath("unix:///tmp/s"), "/tmp/s");
  EXPECT_EQ(UnixPath("unix-abstract:s"), std::string("\0s", 2));
}

TEST(ListenAddressTest, WithPortReplacesThePort) {
  EXPECT_EQ(WithPort("127.0.0.1:0", 4711), "127.0.0.1:4711");
  EXPECT_EQ(WithPort("[::1]:0", 4711), "[::1]:4711");
  EXPECT_EQ(WithPort("unix:/tmp/s", 1), "unix:/tmp/s");
}

}  // namespace
}  // namespace tensorferry::server
