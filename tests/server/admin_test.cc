// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <chrono>
#include <string>
#include <thread>

#include "server/admin/accept_check.h"
#include "server/admin/process_state.h"
#include "server/metrics/metrics.h"
#include "tensorferry/files/unique_fd.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry::server {
namespace {

using test::StatusIs;
using ::testing::HasSubstr;
constexpr auto kUnavailable = absl::StatusCode::kUnavailable;
constexpr std::chrono::milliseconds kTimeout(300);
constexpr std::chrono::milliseconds kPatience(60'000);

// A socket on which the system takes connections that nobody accepts.
struct Listener {
  UniqueFd fd;
  std::string address;
};

Listener ListenOnLoopback() {
  Listener listener{.fd = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), .address = {}};
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(::bind(listener.fd.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::listen(listener.fd.get(), 8), 0);
  EXPECT_EQ(::getsockname(listener.fd.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  listener.address = "127.0.0.1:" + std::to_string(::ntohs(address.sin_port));
  return listener;
}

Listener ListenAt(const std::string& path) {
  Listener listener{.fd = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)), .address = "unix:" + path};
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  EXPECT_EQ(::bind(listener.fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(::listen(listener.fd.get(), 8), 0);
  return listener;
}

void ExpectOnlyAcceptedIsGood(const Listener& listener) {
  EXPECT_THAT(CheckAccepts(listener.address, kTimeout), StatusIs(kUnavailable, HasSubstr("not accepted in time")));
  // That one is still to be accepted.
  std::thread server([&] {
    for (const char* greeting : {"", "hello", ""}) {
      const UniqueFd connection(::accept4(listener.fd.get(), nullptr, nullptr, SOCK_CLOEXEC));
      EXPECT_TRUE(connection.ok());
      const std::size_t size = std::char_traits<char>::length(greeting);
      if (size == 0) continue;
      EXPECT_EQ(::send(connection.get(), greeting, size, MSG_NOSIGNAL), static_cast<ssize_t>(size));
    }
  });
  EXPECT_TRUE(CheckAccepts(listener.address, kPatience).ok()) << "greeted";
  EXPECT_TRUE(CheckAccepts(listener.address, kPatience).ok()) << "closed";
  server.join();
}

TEST(AcceptCheckTest, ConnectionThatNobodyAcceptsIsNoticed) {
  ExpectOnlyAcceptedIsGood(ListenOnLoopback());
  const test::TempDir directory;
  ExpectOnlyAcceptedIsGood(ListenAt(directory.Path("socket")));
}

TEST(AcceptCheckTest, ConnectionThatIsRefusedIsNoticed) {
  std::string address = ListenOnLoopback().address;
  EXPECT_THAT(CheckAccepts(address, kPatience), StatusIs(kUnavailable, HasSubstr(address)));
  const test::TempDir directory;
  EXPECT_THAT(CheckAccepts("unix:" + directory.Path("socket"), kPatience),
              StatusIs(kUnavailable, HasSubstr("No such file")));
}

TEST(ProcessStateTest, LivesBeforeItIsReadyAndWhileItDrains) {
  const Metrics metrics;
  ProcessState state(metrics);
  EXPECT_TRUE(state.Live().ok());
  EXPECT_THAT(state.Ready(), StatusIs(kUnavailable, HasSubstr("starting")));
  EXPECT_THAT(state.MetricsText(), HasSubstr("tensorferry_active_streams 0\n"));
  state.BeginDraining();
  EXPECT_TRUE(state.Live().ok());
  EXPECT_THAT(state.Ready(), StatusIs(kUnavailable, HasSubstr("draining")));
}

}  // namespace
}  // namespace tensorferry::server
