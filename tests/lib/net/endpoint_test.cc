// SPDX-License-Identifier: Apache-2.0
#include "lib/net/endpoint.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace tensorferry {
namespace {

TEST(EndpointTest, AddressesOfThisMachineAreLoopback) {
  for (const char* address : {"127.0.0.1:0", "127.9.9.9:1", "[::1]:7070", "localhost:1", "unix:/tmp/s", "unix:s"}) {
    EXPECT_TRUE(IsLoopback(address)) << address;
  }
  for (const char* address : {"0.0.0.0:0", "[::]:7070", "10.0.0.1:1", "*:7070", "example.com:1", "", "128.0.0.1:1",
                              "127.0.0.1.example.com:1"}) {
    EXPECT_FALSE(IsLoopback(address)) << address;
  }
}

TEST(EndpointTest, HostAndPortAreSplit) {
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
  EXPECT_EQ(split("::1:7070"), "::1:7070 ") << "the whole text may be an IPv6 address";
  EXPECT_EQ(split("[::1]7070"), "[::1]7070 ");
  EXPECT_EQ(split("[::1:7070"), "[::1:7070 ");
  EXPECT_EQ(split("host:"), "host ");
  EXPECT_EQ(split("dns:7071"), "7071 ");
  EXPECT_EQ(split(""), " ");
}

TEST(EndpointTest, PortIsADecimalNumberOf16Bits) {
  EXPECT_EQ(ParsePort("0"), 0);
  EXPECT_EQ(ParsePort("65535"), 65535);
  for (const char* text : {"", "65536", "-1", "+1", "1x", " 1", "http"})
    EXPECT_EQ(ParsePort(text), std::nullopt) << text;
}

}  // namespace
}  // namespace tensorferry
