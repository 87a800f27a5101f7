// SPDX-License-Identifier: Apache-2.0
#include "client/channel/call_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "client/channel/connection.h"
#include "client/channel/credentials.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry {
namespace {

using test::StatusIs;

std::shared_ptr<Connection> Connect(const std::string& address) {
  return std::make_shared<Connection>(address, *MakeCredentials(std::nullopt, {}, false));
}

TEST(CallErrorTest, HintPrecedesTheTextOfGrpc) {
  const auto connection = Connect("a:1");
  EXPECT_THAT(WithAddress(*connection, absl::UnavailableError("failed to connect to all addresses; Socket closed")),
              StatusIs(absl::StatusCode::kUnavailable,
                       "server \"a:1\": the server closed a plaintext connection, it may require TLS "
                       "(failed to connect to all addresses; Socket closed)"));
  EXPECT_THAT(WithAddress(*connection, absl::UnavailableError("Trying to connect an http1.x server")),
              StatusIs(absl::StatusCode::kUnavailable,
                       "server \"a:1\": this is an HTTP port, perhaps the admin port; the gRPC port is 7070 by default "
                       "(Trying to connect an http1.x server)"));
  EXPECT_THAT(WithAddress(*connection, absl::UnavailableError("Connection refused")),
              StatusIs(absl::StatusCode::kUnavailable, "server \"a:1\": Connection refused"));
}

TEST(CallErrorTest, TimeoutIsExplainedAndKeepsItsDetails) {
  const absl::Status timed_out = WithDetails(absl::DeadlineExceededError("Deadline Exceeded"), {.server = "a:1"});
  const absl::Status explained = ExplainTimeout(timed_out, absl::Seconds(10), " with 14.7 MB of 805 MB");
  EXPECT_THAT(explained, StatusIs(absl::StatusCode::kDeadlineExceeded,
                                  "timed out after 10 s with 14.7 MB of 805 MB (Deadline Exceeded)"));
  ASSERT_TRUE(ErrorDetailsOf(explained));
  EXPECT_EQ(ErrorDetailsOf(explained)->server, "a:1");
  EXPECT_EQ(ExplainTimeout(timed_out, absl::InfiniteDuration()), timed_out) << "a timeout of the server's own";
  EXPECT_EQ(ExplainTimeout(absl::NotFoundError("x"), absl::Seconds(1)), absl::NotFoundError("x"));
}

TEST(CallErrorTest, DurationsHaveAUnit) {
  EXPECT_EQ(FormatSeconds(absl::ZeroDuration()), "0 s");
  EXPECT_EQ(FormatSeconds(-absl::Seconds(1)), "0 s");
  EXPECT_EQ(FormatSeconds(absl::Milliseconds(250)), "250 ms");
  EXPECT_EQ(FormatSeconds(absl::Milliseconds(5649)), "5.6 s");
  EXPECT_EQ(FormatSeconds(absl::Minutes(10)), "600 s");
}

}  // namespace
}  // namespace tensorferry
