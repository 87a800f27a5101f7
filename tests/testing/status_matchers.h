// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_TESTING_STATUS_MATCHERS_H_
#define TENSORFERRY_TESTS_TESTING_STATUS_MATCHERS_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tensorferry::test {

inline const absl::Status& StatusOf(const absl::Status& status) { return status; }
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& status_or) {
  return status_or.status();
}

// Returns the message as a std::string, because the absl::string_view of this Abseil is not std::string_view.
template <typename StatusOrStatusOr>
std::string MessageOf(const StatusOrStatusOr& status) {
  return std::string(StatusOf(status).message());
}

class StatusIsMatcher {
 public:
  using is_gtest_matcher = void;

  StatusIsMatcher(absl::StatusCode code, ::testing::Matcher<std::string> message)
      : code_(code), message_(std::move(message)) {}

  template <typename StatusOrStatusOr>
  bool MatchAndExplain(const StatusOrStatusOr& value, ::testing::MatchResultListener* listener) const {
    const absl::Status& status = StatusOf(value);
    *listener << "whose status is " << status.ToString();
    return status.code() == code_ && message_.Matches(std::string(status.message()));
  }
  void DescribeTo(std::ostream* out) const {
    *out << "has the code " << absl::StatusCodeToString(code_) << " and a message that ";
    message_.DescribeTo(out);
  }
  void DescribeNegationTo(std::ostream* out) const {
    *out << "has not the code " << absl::StatusCodeToString(code_) << ", or a message that ";
    message_.DescribeNegationTo(out);
  }

 private:
  absl::StatusCode code_;
  ::testing::Matcher<std::string> message_;
};

// Matches a Status or StatusOr with that code, and a message that matches.
inline StatusIsMatcher StatusIs(absl::StatusCode code, ::testing::Matcher<std::string> message = ::testing::_) {
  return {code, std::move(message)};
}

// Matches a Status or StatusOr that is OK.
inline StatusIsMatcher IsOk() { return StatusIs(absl::StatusCode::kOk); }

}  // namespace tensorferry::test

#define TF_EXPECT_OK(expression) EXPECT_THAT(expression, ::tensorferry::test::IsOk())
#define TF_ASSERT_OK(expression) ASSERT_THAT(expression, ::tensorferry::test::IsOk())

// Evaluates `expression`, an absl::StatusOr. Moves its value into `declaration`, or fails and returns from the
// function.
#define TF_ASSERT_OK_AND_ASSIGN(declaration, expression) \
  TF_ASSERT_OK_AND_ASSIGN_(TF_TEST_CONCAT_(status_or_, __LINE__), declaration, expression)
#define TF_ASSERT_OK_AND_ASSIGN_(status_or, declaration, expression)        \
  auto status_or = (expression);                                            \
  ASSERT_TRUE(status_or.ok()) << #expression << ": " << status_or.status(); \
  declaration = *std::move(status_or)
#define TF_TEST_CONCAT_(a, b) TF_TEST_CONCAT_AGAIN_(a, b)
#define TF_TEST_CONCAT_AGAIN_(a, b) a##b

#endif  // TENSORFERRY_TESTS_TESTING_STATUS_MATCHERS_H_
