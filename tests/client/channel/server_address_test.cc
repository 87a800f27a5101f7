// SPDX-License-Identifier: Apache-2.0
#include "client/channel/server_address.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "tests/testing/status_matchers.h"

namespace tensorferry {
namespace {

using test::StatusIs;
using ::testing::HasSubstr;

TEST(ServerAddressTest, PortIs7070UnlessGiven) {
  for (const auto& [address, expected] : {
           std::pair("localhost", "localhost:7070"),
           {"localhost:1", "localhost:1"},
           {"localhost:", "localhost:7070"},
           {"10.0.0.1", "10.0.0.1:7070"},
           {"::1", "[::1]:7070"},
           {"[::1]", "[::1]:7070"},
           {"[::1]:1", "[::1]:1"},
           {"tensorferry://a", "a:7070"},
           {"tensorferry://a:1/", "a:1"},
           {"tensorferry://[::1]", "[::1]:7070"},
           {"dns:a", "dns:a:7070"},
           {"dns:///a", "dns:///a:7070"},
           {"dns:///a:1", "dns:///a:1"},
           {"dns://1.1.1.1/a", "dns://1.1.1.1/a"},
           {"ipv4:10.0.0.1", "ipv4:10.0.0.1:7070"},
           {"ipv4:10.0.0.1:1,10.0.0.2:1", "ipv4:10.0.0.1:1,10.0.0.2:1"},
           {"unix:/run/s", "unix:/run/s"},
           {"unix:///run/s", "unix:///run/s"},
       }) {
    EXPECT_EQ(ParseServerAddress(address).value_or("refused"), expected) << address;
  }
}

TEST(ServerAddressTest, OtherSchemesAndNothingAreRefused) {
  for (const std::string scheme : {"http", "https", "grpc"}) {
    const std::string address = scheme + "://a:1";
    EXPECT_THAT(
        ParseServerAddress(address),
        StatusIs(absl::StatusCode::kInvalidArgument,
                 "address \"" + address + "\": give host:port or tensorferry://host:port, not " + scheme + "://"));
  }
  for (const char* empty : {"", "tensorferry://", "tensorferry:///"}) {
    EXPECT_THAT(ParseServerAddress(empty), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("address is empty")));
  }
}

TEST(ServerAddressTest, PortsThatGrpcWouldMisreadAreRefused) {
  for (const char* address : {"a:65536", "a:92606", "127.0.0.1:99999", "a:0", "a:abc", "a:1x", "a:-1", "[::1]:65536",
                              "dns:///a:http", "tensorferry://a:70000"}) {
    EXPECT_THAT(ParseServerAddress(address),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("the port must be a number, 1 to 65535")))
        << address;
  }
  EXPECT_EQ(ParseServerAddress("a:65535").value_or("refused"), "a:65535");
  EXPECT_THAT(ParseServerAddress(":7070"),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("the host is missing")));
}

}  // namespace
}  // namespace tensorferry
