// SPDX-License-Identifier: Apache-2.0
#include "lib/wire/retry_info.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

#include "lib/wire/status_conversion.h"
#include "tests/testing/random.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry::wire {
namespace {

using ::testing::Optional;

TEST(RetryInfoTest, DelayIsUnchangedAfterEncodingAndDecoding) {
  for (const absl::Duration delay : {absl::ZeroDuration(), absl::Nanoseconds(1), absl::Milliseconds(1500),
                                     absl::Seconds(1), absl::Hours(24 * 365)}) {
    const absl::Status status = WithRetryDelay(absl::ResourceExhaustedError("too much"), delay);
    const absl::Status received = FromGrpc(ToGrpc(status));
    EXPECT_THAT(RetryDelayOf(received), Optional(delay));
    EXPECT_THAT(received, test::StatusIs(absl::StatusCode::kResourceExhausted, "too much"));
  }
}

TEST(RetryInfoTest, DetailsEqualThoseOfOtherLanguages) {
  const grpc::Status status = ToGrpc(WithRetryDelay(absl::ResourceExhaustedError("no"), absl::Milliseconds(1500)));
  // google.rpc.Status{code: 8, message: "no", details: [Any{RetryInfo{retry_delay: 1.5 s}}]}, as Python's classes
  // encode it.
  EXPECT_EQ(status.error_details(),
            std::string("\x08\x08\x12\x02no\x1a\x36\x0a\x28type.googleapis.com/google.rpc.RetryInfo"
                        "\x12\x0a\x0a\x08\x08\x01\x10\x80\xca\xb5\xee\x01"));
}

TEST(RetryInfoTest, StatusWithoutADelayHasNoDetails) {
  EXPECT_EQ(RetryDelayOf(absl::ResourceExhaustedError("too much")), std::nullopt);
  EXPECT_EQ(ToGrpc(absl::ResourceExhaustedError("too much")).error_details(), "");
  EXPECT_EQ(RetryDelayOf(absl::OkStatus()), std::nullopt);
}

TEST(RetryInfoTest, MalformedDetailsAndNegativeDelaysAreIgnored) {
  const std::string good = ToGrpc(WithRetryDelay(absl::UnavailableError(""), absl::Seconds(3))).error_details();
  test::Random random;
  for (std::size_t i = 0; i < 4 * good.size(); ++i) {
    std::string details = i < good.size() ? good.substr(0, i) : good;
    if (i >= good.size()) details[i % good.size()] = static_cast<char>(random.Below(256));
    const absl::Status status = FromGrpc(grpc::Status(grpc::StatusCode::UNAVAILABLE, "m", details));
    EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
    EXPECT_GE(RetryDelayOf(status).value_or(absl::ZeroDuration()), absl::ZeroDuration());
  }
  EXPECT_EQ(RetryDelayOf(WithRetryDelay(absl::UnavailableError(""), absl::Seconds(-1))), std::nullopt);
}

}  // namespace
}  // namespace tensorferry::wire
