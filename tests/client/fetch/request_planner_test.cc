// SPDX-License-Identifier: Apache-2.0
#include "client/fetch/request_planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/testing/random.h"

namespace tensorferry {
namespace {

class RequestPlannerTest : public ::testing::Test {
 protected:
  void AddRead(std::int64_t size_bytes, std::string name = "t") {
    ranges_.push_back({.read = reads_.size(), .begin = 0, .end = size_bytes, .result_bytes = size_bytes});
    reads_.push_back({.tensor = std::move(name)});
  }
  std::vector<Lane> Plan(const std::string& generation, int connections) {
    return PlanFetch("m", generation, reads_, ranges_, connections);
  }

  std::vector<Read> reads_;
  std::vector<ReadRange> ranges_;
};

TEST_F(RequestPlannerTest, EveryReadIsPartOfAPlan) {
  AddRead(10);
  reads_[0].slice.emplace();
  const std::vector<Lane> lanes = Plan("g", 1);
  ASSERT_EQ(lanes.size(), 1U);
  const StreamRequest& request = lanes[0].at(0);
  EXPECT_EQ(request.method, "GetTensors");
  const auto& plan = dynamic_cast<const v1::GetTensorsRequest&>(*request.message);
  EXPECT_EQ(plan.generation(), "g");
  EXPECT_TRUE(plan.reads(0).has_slice());
  EXPECT_EQ(plan.reads(0).read_limit(), 10);
}

TEST_F(RequestPlannerTest, RangeWhoseResultIsNotDescribedYetIsNotDivided) {
  AddRead(100 << 20);
  const Destination::Choose choose = [](const ReadResult&) { return Destination(); };
  ranges_[0].deferred = &choose;
  EXPECT_EQ(Plan("", 4).size(), 1U);
  ranges_[0].deferred = nullptr;
  EXPECT_EQ(Plan("", 4).size(), 4U);
}

TEST_F(RequestPlannerTest, NoRangesGiveNoLanes) {
  const std::vector<Lane> lanes = Plan("g", 3);
  EXPECT_TRUE(lanes.empty());
}

TEST_F(RequestPlannerTest, PlanTooLargeForOneRequestIsSeveral) {
  for (int i = 0; i < 3000; ++i) AddRead(1, std::string(1000, 'n'));
  const std::vector<Lane> lanes = Plan("g", 1);
  ASSERT_EQ(lanes.size(), 1U);
  EXPECT_EQ(lanes[0].size(), 2U);
  for (const StreamRequest& request : lanes[0]) EXPECT_LT(request.message->ByteSizeLong(), 4U << 20);
}

TEST_F(RequestPlannerTest, EveryByteOfEveryReadIsRequestedOnceAndLanesAreEven) {
  test::Random random;
  for (int round = 0; round < 300; ++round) {
    ranges_.clear();
    reads_.clear();
    const std::size_t count = random.Below(20);
    std::int64_t total = 0;
    for (std::size_t i = 0; i < count; ++i) {
      AddRead(random.OneIn(4) ? 0 : random.Between(1, random.OneIn(3) ? 100 << 20 : 5000));
      total += ranges_.back().end;
    }
    const auto connections = static_cast<int>(random.Between(1, 8));
    const std::vector<Lane> lanes = Plan("g", connections);
    EXPECT_LE(lanes.size(), static_cast<std::size_t>(connections));
    std::vector<std::int64_t> next(count, 0);
    std::vector<int> parts(count, 0);
    for (const Lane& lane : lanes) {
      std::int64_t lane_bytes = 0;
      for (const StreamRequest& request : lane) {
        ASSERT_EQ(request.parts.size(), request.reads.size());
        for (std::size_t i = 0; i < request.parts.size(); ++i) {
          const ExpectedPart& part = request.parts[i];
          EXPECT_EQ(part.begin, next[request.reads[i]]);
          next[request.reads[i]] = part.end;
          ++parts[request.reads[i]];
          lane_bytes += part.end - part.begin;
        }
      }
      EXPECT_LE(lane_bytes, std::max<std::int64_t>(4 << 20, total / connections + 1));
    }
    for (std::size_t i = 0; i < count; ++i) {
      EXPECT_EQ(next[i], ranges_[i].end);
      EXPECT_GE(parts[i], 1) << "an empty read must be requested as well";
    }
  }
}

TEST_F(RequestPlannerTest, ResumedRequestHasTheRemainingRanges) {
  for (int i = 0; i < 3; ++i) AddRead(10, std::to_string(i));
  reads_[2].slice = SliceSpec{.dimensions = {Index{7}}};
  std::vector<Lane> lanes = Plan("", 1);
  const std::vector<RemainingRange> remaining = {{.part = 0, .begin = 10, .size_bytes = 0},
                                                 {.part = 2, .begin = 4, .size_bytes = 6}};
  const auto message = RequestForRanges(lanes.at(0).at(0), remaining, "g", /*checksums_only=*/false);
  const auto& plan = dynamic_cast<const v1::GetTensorsRequest&>(*message);
  EXPECT_EQ(plan.model(), "m");
  EXPECT_EQ(plan.generation(), "g");
  ASSERT_EQ(plan.reads_size(), 2);
  EXPECT_EQ(plan.reads(0).tensor(), "0");
  EXPECT_EQ(plan.reads(0).read_offset(), 10);
  EXPECT_EQ(plan.reads(0).read_limit(), 0);
  EXPECT_EQ(plan.reads(1).tensor(), "2");
  EXPECT_EQ(plan.reads(1).slice().dimensions(0).index(), 7);
  EXPECT_EQ(plan.reads(1).read_offset(), 4);
  EXPECT_EQ(plan.reads(1).read_limit(), 6);
}

TEST_F(RequestPlannerTest, ResumedRequestForAFileKeepsItsMethod) {
  const std::vector<RemainingRange> remaining = {{.part = 0, .begin = 4, .size_bytes = 6}};
  const StreamRequest request = PlanFileFetch("m", "f", "", 100, 10);
  const auto file = RequestForRanges(request, remaining, "g", /*checksums_only=*/true);
  const auto& message = dynamic_cast<const v1::GetFileRequest&>(*file);
  EXPECT_EQ(message.file(), "f");
  EXPECT_EQ(message.read_offset(), 4);
  EXPECT_EQ(message.read_limit(), 6);
  EXPECT_EQ(message.generation(), "g");
  EXPECT_TRUE(message.checksums_only());
}

}  // namespace
}  // namespace tensorferry
