// SPDX-License-Identifier: Apache-2.0
#include "server/net/listening_sockets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry::server {
namespace {

using test::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Returns the addresses of the sockets that listen on `address`, which are closed again.
std::vector<std::string> BoundTo(const std::string& address) {
  const absl::StatusOr<ListeningSockets> sockets = ListeningSockets::Open(address);
  EXPECT_TRUE(sockets.ok()) << sockets.status();
  std::vector<std::string> texts;
  if (!sockets.ok()) return texts;
  EXPECT_EQ(sockets->sockets().size(), sockets->addresses().size());
  for (const SocketAddress& each : sockets->addresses()) texts.push_back(each.ToString());
  return texts;
}

// Returns the addresses that reach a server that listens on `address`.
std::vector<std::string> TargetsFor(const std::string& address) {
  const absl::StatusOr<std::vector<SocketAddress>> resolved = SocketAddress::Resolve(address);
  EXPECT_TRUE(resolved.ok()) << resolved.status();
  std::vector<std::string> texts;
  if (!resolved.ok()) return texts;
  for (const SocketAddress& target : resolved->at(0).LocalTargets()) texts.push_back(target.ToString());
  return texts;
}

TEST(SocketAddressTest, AllAddressesOfAFamilyAreReachedThroughItsLoopback) {
  EXPECT_THAT(TargetsFor("0.0.0.0:7"), ElementsAre("127.0.0.1:7"));
  EXPECT_THAT(TargetsFor("[::]:7"), ElementsAre("[::1]:7", "[::ffff:127.0.0.1]:7"));
}

TEST(SocketAddressTest, OneAddressIsReachedAtItself) {
  for (const std::string address :
       {"127.1.2.3:7", "10.0.0.1:7", "[::1]:7", "[2001:db8::1]:7", "unix:/s", "unix:s", "unix-abstract:s"}) {
    EXPECT_THAT(TargetsFor(address), ElementsAre(address));
  }
}

TEST(SocketAddressTest, PortIsReplaced) {
  for (const std::string host : {"127.0.0.1", "[::1]"}) {
    const absl::StatusOr<std::vector<SocketAddress>> resolved = SocketAddress::Resolve(host + ":7");
    ASSERT_TRUE(resolved.ok()) << resolved.status();
    EXPECT_EQ(resolved->at(0).port(), 7);
    EXPECT_EQ(resolved->at(0).WithPort(40'000).port(), 40'000);
    EXPECT_EQ(resolved->at(0).WithPort(40'000).ToString(), host + ":40000");
  }
}

TEST(ListeningSocketsTest, PathOfASocketMayBeSpelledAsAUri) {
  const test::TempDir directory;
  const std::string path = directory.Path("socket");
  EXPECT_THAT(BoundTo("unix:" + path), ElementsAre("unix:" + path));
  EXPECT_THAT(BoundTo("unix://" + path), ElementsAre("unix:" + path));
  EXPECT_THAT(BoundTo("unix-abstract:" + path), ElementsAre("unix-abstract:" + path));
}

TEST(ListeningSocketsTest, SystemChoosesOnePortForAllAddresses) {
  TF_ASSERT_OK_AND_ASSIGN(const ListeningSockets sockets, ListeningSockets::Open("localhost:0"));
  EXPECT_NE(sockets.port(), 0);
  for (const SocketAddress& each : sockets.addresses()) EXPECT_EQ(each.port(), sockets.port()) << each.ToString();
}

TEST(ListeningSocketsTest, FileIsRemovedUnlessAnotherServerReplacedIt) {
  const test::TempDir directory;
  const std::string path = directory.Path("socket");
  {
    absl::StatusOr<ListeningSockets> first = ListeningSockets::Open("unix:" + path);
    TF_ASSERT_OK(first.status());
    const absl::StatusOr<ListeningSockets> second = ListeningSockets::Open("unix:" + path);
    TF_ASSERT_OK(second.status());
    { const ListeningSockets gone = *std::move(first); }
    EXPECT_TRUE(std::filesystem::exists(path));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(ListeningSocketsTest, OtherFileThanASocketStays) {
  const test::TempDir directory;
  const std::string path = directory.Write("file", "text");
  EXPECT_THAT(ListeningSockets::Open("unix:" + path), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("in use")));
  EXPECT_TRUE(std::filesystem::is_regular_file(path));
}

TEST(ListeningSocketsTest, InvalidAddressIsNamed) {
  for (const std::string& address : {"unix:/" + std::string(107, 'x'), std::string("no-such-host.invalid:1")}) {
    EXPECT_THAT(ListeningSockets::Open(address), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(address)));
  }
  // Reserved for documentation.
  EXPECT_THAT(ListeningSockets::Open("192.0.2.1:0"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("192.0.2.1")));
}

TEST(ListeningSocketsTest, CheckFindsTheErrorsOfOpen) {
  const test::TempDir directory;
  const std::string file = directory.Write("file", "text");
  TF_ASSERT_OK_AND_ASSIGN(const ListeningSockets taken, ListeningSockets::Open("127.0.0.1:0"));
  for (const std::string& address :
       {"unix:/" + std::string(107, 'x'), std::string("no-such-host.invalid:1"), std::string("192.0.2.1:0"),
        "unix:" + file, "unix:" + directory.Path("none/socket"), taken.addresses()[0].ToString()}) {
    const absl::Status found = ListeningSockets::Check(address);
    EXPECT_FALSE(found.ok()) << address;
    EXPECT_EQ(found, ListeningSockets::Open(address).status());
  }
}

TEST(ListeningSocketsTest, CheckLeavesNoTrace) {
  const test::TempDir directory;
  const std::string path = directory.Path("socket");
  TF_EXPECT_OK(ListeningSockets::Check("127.0.0.1:0"));
  TF_EXPECT_OK(ListeningSockets::Check("localhost:0"));
  TF_EXPECT_OK(ListeningSockets::Check("unix-abstract:" + path));
  TF_EXPECT_OK(ListeningSockets::Check("unix:" + path));
  EXPECT_FALSE(std::filesystem::exists(path));
  // The socket of a running server stays until it is replaced.
  TF_ASSERT_OK_AND_ASSIGN(const ListeningSockets running, ListeningSockets::Open("unix:" + path));
  TF_EXPECT_OK(ListeningSockets::Check("unix:" + path));
  EXPECT_TRUE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace tensorferry::server
