// SPDX-License-Identifier: Apache-2.0
#include "client/fetch/read_tracker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace tensorferry {
namespace {

using ::testing::ElementsAre;

class ReadTrackerTest : public ::testing::Test {
 protected:
  void Confirm(std::size_t read) { tracker_.Confirm(std::array{read}); }

  std::vector<std::size_t> done_;
  ReadTracker tracker_{3, [this](std::size_t read) { done_.push_back(read); }};
  // Their addresses identify two streams.
  const int one_ = 0;
  const int two_ = 0;
};

TEST_F(ReadTrackerTest, ReadIsDoneWhenAllItsPartsAreConfirmed) {
  for (const std::size_t read : {0U, 1U, 1U}) tracker_.AddPart(read);
  for (const std::size_t read : {0U, 1U, 2U}) tracker_.EndParts(read);
  EXPECT_THAT(done_, ElementsAre(2)) << "it has no parts";
  Confirm(1);
  Confirm(0);
  EXPECT_THAT(done_, ElementsAre(2, 0));
  Confirm(1);
  EXPECT_THAT(done_, ElementsAre(2, 0, 1));
}

TEST_F(ReadTrackerTest, ReadMayGetMorePartsUntilTheyEnd) {
  tracker_.AddPart(0);
  Confirm(0);
  EXPECT_THAT(done_, ElementsAre());
  tracker_.AddPart(0);
  tracker_.EndParts(0);
  EXPECT_THAT(done_, ElementsAre());
  Confirm(0);
  EXPECT_THAT(done_, ElementsAre(0));
}

TEST_F(ReadTrackerTest, ReadsAreHeldBackWhileInstancesDiffer) {
  for (const std::size_t read : {0U, 1U, 2U}) {
    tracker_.AddPart(read);
    tracker_.EndParts(read);
  }
  tracker_.SetInstance(&one_, "a");
  Confirm(0);
  EXPECT_THAT(done_, ElementsAre(0));
  tracker_.SetInstance(&two_, "b");
  Confirm(1);
  EXPECT_THAT(done_, ElementsAre(0));
  tracker_.SetInstance(&one_, "b");
  EXPECT_THAT(done_, ElementsAre(0, 1));
  tracker_.SetInstance(&two_, "c");
  Confirm(2);
  EXPECT_THAT(done_, ElementsAre(0, 1));
  tracker_.AllCompared();
  EXPECT_THAT(done_, ElementsAre(0, 1, 2));
}

TEST(ReadTrackerWithoutFunctionTest, TracksNothing) {
  ReadTracker tracker(1, {});
  tracker.AddPart(0);
  tracker.EndParts(0);
  tracker.Confirm(std::array{std::size_t{0}});
  tracker.AllCompared();
}

}  // namespace
}  // namespace tensorferry
