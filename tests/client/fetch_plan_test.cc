// SPDX-License-Identifier: Apache-2.0
#include "client/fetch_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "tests/testing/random.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry {
namespace {

// A destination of any size that takes nothing.
class SizedDestination final : public Destination {
 public:
  explicit SizedDestination(std::int64_t size_bytes) : size_bytes_(size_bytes) {}
  std::int64_t size_bytes() const override { return size_bytes_; }
  absl::Status Write(std::int64_t, std::span<const std::byte>) override { return absl::OkStatus(); }
  absl::Status Finish() override { return absl::OkStatus(); }

 private:
  std::int64_t size_bytes_;
};

class FetchPlanTest : public ::testing::Test {
 protected:
  void AddRead(std::int64_t size_bytes, std::string name = "t") {
    reads_.push_back({.tensor = std::move(name), .destination = &destinations_.emplace_back(size_bytes)});
  }

  std::deque<SizedDestination> destinations_;
  std::vector<Read> reads_;
};

TEST_F(FetchPlanTest, OneReadAsksWithTheNarrowestMethod) {
  AddRead(10);
  TF_ASSERT_OK_AND_ASSIGN(const std::vector<Lane> tensor, PlanFetch("m", "g", reads_, 1));
  ASSERT_EQ(tensor.size(), 1U);
  EXPECT_EQ(tensor[0].at(0).method, "GetTensor");
  reads_[0].slice.emplace();
  TF_ASSERT_OK_AND_ASSIGN(const std::vector<Lane> slice, PlanFetch("m", "g", reads_, 1));
  EXPECT_EQ(slice.at(0).at(0).method, "GetSlice");
  AddRead(0);
  TF_ASSERT_OK_AND_ASSIGN(const std::vector<Lane> plan, PlanFetch("m", "g", reads_, 1));
  EXPECT_EQ(plan.at(0).at(0).method, "GetTensors");
}

TEST_F(FetchPlanTest, NothingToReadIsNothingToAsk) {
  TF_ASSERT_OK_AND_ASSIGN(const std::vector<Lane> lanes, PlanFetch("m", "g", reads_, 3));
  EXPECT_TRUE(lanes.empty());
}

TEST_F(FetchPlanTest, ReadWithoutDestinationIsNamed) {
  reads_.push_back({.tensor = "lost"});
  EXPECT_THAT(PlanFetch("m", "g", reads_, 1),
              test::StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("lost")));
}

TEST_F(FetchPlanTest, PlanTooLargeForOneRequestIsSeveral) {
  for (int i = 0; i < 3000; ++i) AddRead(1, std::string(1000, 'n'));
  TF_ASSERT_OK_AND_ASSIGN(const std::vector<Lane> lanes, PlanFetch("m", "g", reads_, 1));
  ASSERT_EQ(lanes.size(), 1U);
  EXPECT_EQ(lanes[0].size(), 2U);
  for (const StreamRequest& request : lanes[0]) EXPECT_LT(request.message->ByteSizeLong(), 4U << 20);
}

TEST_F(FetchPlanTest, EveryByteOfEveryReadIsAskedForOnceAndLanesAreEven) {
  test::Random random;
  for (int round = 0; round < 300; ++round) {
    destinations_.clear();
    reads_.clear();
    const std::size_t count = random.Below(20);
    std::int64_t total = 0;
    for (std::size_t i = 0; i < count; ++i) {
      AddRead(random.OneIn(4) ? 0 : random.Between(1, random.OneIn(3) ? 100 << 20 : 5000));
      total += destinations_.back().size_bytes();
    }
    const auto connections = static_cast<int>(random.Between(1, 8));
    TF_ASSERT_OK_AND_ASSIGN(const std::vector<Lane> lanes, PlanFetch("m", "g", reads_, connections));
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
      EXPECT_EQ(next[i], destinations_[i].size_bytes());
      EXPECT_GE(parts[i], 1) << "an empty read must be asked for, too";
    }
  }
}

TEST_F(FetchPlanTest, ResumedRequestAsksForWhatRemains) {
  for (int i = 0; i < 3; ++i) AddRead(10, std::to_string(i));
  reads_[2].slice = SliceSpec{.dimensions = {Index{7}}};
  TF_ASSERT_OK_AND_ASSIGN(std::vector<Lane> lanes, PlanFetch("m", "", reads_, 1));
  const std::vector<RemainingRange> remaining = {{.part = 0, .begin = 10, .size_bytes = 0},
                                                 {.part = 2, .begin = 4, .size_bytes = 6}};
  const auto message = ResumeMessage(lanes.at(0).at(0), remaining, "g");
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

TEST_F(FetchPlanTest, ResumedRequestForOneReadKeepsItsMethod) {
  const std::vector<RemainingRange> remaining = {{.part = 0, .begin = 4, .size_bytes = 6}};
  AddRead(10);
  TF_ASSERT_OK_AND_ASSIGN(std::vector<Lane> lanes, PlanFetch("m", "", reads_, 1));
  const auto tensor = ResumeMessage(lanes.at(0).at(0), remaining, "g");
  EXPECT_EQ(dynamic_cast<const v1::GetTensorRequest&>(*tensor).read_offset(), 4);
  reads_[0].slice = SliceSpec{.dimensions = {Index{7}}};
  TF_ASSERT_OK_AND_ASSIGN(lanes, PlanFetch("m", "", reads_, 1));
  const auto slice = ResumeMessage(lanes.at(0).at(0), remaining, "g");
  EXPECT_EQ(dynamic_cast<const v1::GetSliceRequest&>(*slice).slice().dimensions(0).index(), 7);
  const StreamRequest request = PlanFileFetch("m", "f", "", 100, destinations_[0]);
  const auto file = ResumeMessage(request, remaining, "g");
  EXPECT_EQ(dynamic_cast<const v1::GetFileRequest&>(*file).file(), "f");
  EXPECT_EQ(dynamic_cast<const v1::GetFileRequest&>(*file).read_limit(), 6);
  EXPECT_EQ(dynamic_cast<const v1::GetFileRequest&>(*file).generation(), "g");
}

}  // namespace
}  // namespace tensorferry
