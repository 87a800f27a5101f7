// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "lib/files/unique_fd.h"
#include "server/admin/accept_check.h"
#include "server/net/listening_sockets.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry::server {
namespace {

using test::StatusIs;
using ::testing::HasSubstr;
constexpr auto kUnavailable = absl::StatusCode::kUnavailable;
constexpr std::chrono::milliseconds kTimeout(300);
constexpr std::chrono::milliseconds kPatience(60'000);

// Returns sockets to which the system connects clients while no thread accepts them.
ListeningSockets Listen(const std::string& address) {
  absl::StatusOr<ListeningSockets> sockets = ListeningSockets::Open(address);
  EXPECT_TRUE(sockets.ok()) << sockets.status();
  return *std::move(sockets);
}

UniqueFd WaitAndAccept(const UniqueFd& socket) {
  pollfd event = {.fd = socket.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&event, 1, static_cast<int>(kPatience.count())), 1);
  UniqueFd connection(::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
  EXPECT_TRUE(connection.ok());
  return connection;
}

void ExpectOnlyAcceptedIsGood(const std::string& address) {
  SCOPED_TRACE(address);
  const ListeningSockets listening = Listen(address);
  ASSERT_EQ(listening.sockets().size(), 1U);
  const UniqueFd& socket = listening.sockets()[0];
  EXPECT_THAT(CheckAccepts(listening.addresses(), kTimeout), StatusIs(kUnavailable, HasSubstr("not accepted in time")));
  // The connection of the first check is still pending.
  std::thread server([&] {
    for (const std::string_view greeting : {"", "hello", ""}) {
      const UniqueFd connection = WaitAndAccept(socket);
      if (greeting.empty()) continue;
      const auto sent = ::send(connection.get(), greeting.data(), greeting.size(), MSG_NOSIGNAL);
      EXPECT_EQ(sent, static_cast<ssize_t>(greeting.size()));
    }
  });
  TF_EXPECT_OK(CheckAccepts(listening.addresses(), kPatience)) << "greeted";
  TF_EXPECT_OK(CheckAccepts(listening.addresses(), kPatience)) << "closed";
  server.join();
}

TEST(AcceptCheckTest, ConnectionThatIsNotAcceptedIsAnError) {
  const test::TempDir directory;
  for (const std::string& address : {std::string("127.0.0.1:0"), std::string("0.0.0.0:0"), std::string("[::]:0"),
                                     "unix:" + directory.Path("socket"), "unix-abstract:" + directory.Path("name")}) {
    ExpectOnlyAcceptedIsGood(address);
  }
}

TEST(AcceptCheckTest, ConnectionThatIsRefusedIsAnError) {
  const std::vector<SocketAddress> gone = Listen("127.0.0.1:0").addresses();
  EXPECT_THAT(CheckAccepts(gone, kPatience), StatusIs(kUnavailable, HasSubstr(gone[0].ToString())));
  const test::TempDir directory;
  const std::vector<SocketAddress> removed = Listen("unix:" + directory.Path("socket")).addresses();
  EXPECT_THAT(CheckAccepts(removed, kPatience), StatusIs(kUnavailable, HasSubstr("No such file")));
}

TEST(AcceptCheckTest, EachAddressMustAccept) {
  const ListeningSockets good = Listen("127.0.0.1:0");
  std::vector<SocketAddress> addresses = good.addresses();
  std::thread server([&] { WaitAndAccept(good.sockets()[0]); });
  addresses.push_back(Listen("127.0.0.1:0").addresses()[0]);
  EXPECT_THAT(CheckAccepts(addresses, kPatience), StatusIs(kUnavailable, HasSubstr(addresses[1].ToString())));
  server.join();
}

}  // namespace
}  // namespace tensorferry::server
