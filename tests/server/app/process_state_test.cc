// SPDX-License-Identifier: Apache-2.0
#include "server/app/process_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/metrics/metrics.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry::server {
namespace {

using test::StatusIs;
using ::testing::HasSubstr;

constexpr auto kUnavailable = absl::StatusCode::kUnavailable;

TEST(ProcessStateTest, IsLiveButNotReadyWhileStartingAndDraining) {
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
