// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/slice_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry {
namespace {

using test::StatusIs;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

using Shape = std::vector<std::int64_t>;

absl::StatusOr<SlicePlan> Plan(std::string_view slice, const Shape& shape, Dtype dtype = Dtype::kU8) {
  const absl::StatusOr<SliceSpec> spec = SliceSpec::Parse(slice);
  if (!spec.ok()) return spec.status();
  return SlicePlan::Create(*spec, dtype, shape);
}

// Returns the result of a slice of a tensor with the bytes 0, 1, 2, and so on.
std::vector<int> Values(std::string_view slice, const Shape& shape) {
  const absl::StatusOr<SlicePlan> plan = Plan(slice, shape);
  EXPECT_THAT(plan, test::IsOk());
  if (!plan.ok()) return {-1};
  std::vector<int> values;
  for (SlicePlan::Cursor cursor(*plan); cursor.remaining_bytes() > 0;) {
    values.push_back(static_cast<int>(cursor.Next(1).source_offset));
  }
  return values;
}

Shape ResultShape(std::string_view slice, const Shape& shape) {
  const absl::StatusOr<SlicePlan> plan = Plan(slice, shape);
  EXPECT_THAT(plan, test::IsOk());
  return plan.ok() ? Shape(plan->shape().begin(), plan->shape().end()) : Shape{-1};
}

TEST(SlicePlanTest, IndexDropsItsDimension) {
  EXPECT_THAT(Values("1", {2, 3}), ElementsAre(3, 4, 5));
  EXPECT_THAT(ResultShape("1", {2, 3}), ElementsAre(3));
  EXPECT_THAT(Values(":,1", {2, 3}), ElementsAre(1, 4));
  EXPECT_THAT(ResultShape(":,1", {2, 3}), ElementsAre(2));
  EXPECT_THAT(Values("1,2", {2, 3}), ElementsAre(5));
  EXPECT_THAT(ResultShape("1,2", {2, 3}), IsEmpty());
}

TEST(SlicePlanTest, RangeOfOneKeepsItsDimension) { EXPECT_THAT(ResultShape("1:2, 0:1", {2, 3}), ElementsAre(1, 1)); }

TEST(SlicePlanTest, NegativeBoundsCountFromTheEnd) {
  EXPECT_THAT(Values("-1", {4}), ElementsAre(3));
  EXPECT_THAT(Values("-4", {4}), ElementsAre(0));
  EXPECT_THAT(Values("-3:-1", {4}), ElementsAre(1, 2));
  EXPECT_THAT(Values("-1:", {4}), ElementsAre(3));
  EXPECT_THAT(Values(":-1", {4}), ElementsAre(0, 1, 2));
}

TEST(SlicePlanTest, BoundsBeyondTheDimensionAreClamped) {
  EXPECT_THAT(Values("2:99", {4}), ElementsAre(2, 3));
  EXPECT_THAT(Values("-99:2", {4}), ElementsAre(0, 1));
  EXPECT_THAT(Values("-99:99", {4}), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(Values("-9223372036854775808:9223372036854775807", {3}), ElementsAre(0, 1, 2));
  EXPECT_THAT(Values("9223372036854775807:", {3}), IsEmpty());
  EXPECT_THAT(Values(":-9223372036854775808", {3}), IsEmpty());
}

TEST(SlicePlanTest, StopAtOrBelowStartSelectsNothing) {
  EXPECT_THAT(Values("3:1", {4}), IsEmpty());
  EXPECT_THAT(Values("2:2", {4}), IsEmpty());
  EXPECT_THAT(ResultShape("3:1", {4}), ElementsAre(0));
  EXPECT_THAT(ResultShape("3:1, :, 0", {4, 5, 6}), ElementsAre(0, 5));
}

TEST(SlicePlanTest, StepSelectsEveryNthElement) {
  EXPECT_THAT(Values("::2", {5}), ElementsAre(0, 2, 4));
  EXPECT_THAT(Values("1::3", {8}), ElementsAre(1, 4, 7));
  EXPECT_THAT(Values("1:7:3", {8}), ElementsAre(1, 4));
  EXPECT_THAT(Values("::5", {5}), ElementsAre(0));
  EXPECT_THAT(Values("1::9223372036854775807", {5}), ElementsAre(1));
  EXPECT_THAT(Values("-9223372036854775808:9223372036854775807:9223372036854775807", {5}), ElementsAre(0));
  EXPECT_THAT(Values("::2, ::2", {3, 3}), ElementsAre(0, 2, 6, 8));
}

TEST(SlicePlanTest, FewerEntriesThanDimensionsTakeTheRestWhole) {
  EXPECT_THAT(ResultShape("", {2, 3, 4}), ElementsAre(2, 3, 4));
  EXPECT_THAT(ResultShape("0", {2, 3, 4}), ElementsAre(3, 4));
}

TEST(SlicePlanTest, ScalarHasOneElementAndAcceptsNoEntries) {
  TF_ASSERT_OK_AND_ASSIGN(const SlicePlan plan, Plan("[]", {}, Dtype::kF32));
  EXPECT_THAT(plan.shape(), IsEmpty());
  EXPECT_EQ(plan.size_bytes(), 4);
  EXPECT_THAT(Plan("0", {}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Plan(":", {}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(SlicePlanTest, ZeroSizeDimensionGivesAnEmptyResult) {
  TF_ASSERT_OK_AND_ASSIGN(const SlicePlan plan, Plan(":, 1:3", {0, 5}));
  EXPECT_THAT(plan.shape(), ElementsAre(0, 2));
  EXPECT_EQ(plan.size_bytes(), 0);
  EXPECT_EQ(plan.run_bytes(), 0);
  EXPECT_EQ(SlicePlan::Cursor(plan).remaining_bytes(), 0);
  EXPECT_THAT(ResultShape("::2", {0}), ElementsAre(0));
  EXPECT_THAT(ResultShape("", {0, 4'000'000'000, 2}), ElementsAre(0, 4'000'000'000, 2));
}

TEST(SlicePlanTest, IndexIsValidatedEvenIfTheResultIsEmpty) {
  EXPECT_THAT(Plan("0", {0}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Plan(":, 5", {0, 5}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Plan("3:1, 5", {4, 5}), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Plan("3:1, ::0", {4, 5}), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(SlicePlanTest, MoreEntriesThanDimensionsAreRefusedWithBothNumbers) {
  EXPECT_THAT(Plan("0,0,0", {7, 9}),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("3"), HasSubstr("2"))));
}

TEST(SlicePlanTest, IndexOutOfBoundsIsRefusedWithDimensionIndexAndSize) {
  EXPECT_THAT(Plan(":, 8", {2, 8}),
              StatusIs(absl::StatusCode::kInvalidArgument, AllOf(HasSubstr("dimension 1"), HasSubstr("8"))));
  EXPECT_THAT(Plan("-3", {2, 8}), StatusIs(absl::StatusCode::kInvalidArgument,
                                           AllOf(HasSubstr("dimension 0"), HasSubstr("-3"), HasSubstr("2"))));
  for (const std::int64_t index : {kMin, kMin + 1, kMax, kMax - 1, std::int64_t{-5}, std::int64_t{4}}) {
    const SliceSpec spec{{Index{index}}};
    EXPECT_THAT(SlicePlan::Create(spec, Dtype::kU8, Shape{4}),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(std::to_string(index))));
  }
}

TEST(SlicePlanTest, StepBelowOneIsRefusedWithDimensionAndStep) {
  for (const std::int64_t step : {std::int64_t{0}, std::int64_t{-1}, kMin}) {
    const SliceSpec spec{{Range{}, Range{{}, {}, step}}};
    EXPECT_THAT(SlicePlan::Create(spec, Dtype::kU8, Shape{4, 4}),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         AllOf(HasSubstr("dimension 1"), HasSubstr("step " + std::to_string(step)))));
  }
}

TEST(SlicePlanTest, ContiguousBytesAreOneRun) {
  const auto run_bytes = [](std::string_view slice, const Shape& shape) {
    const absl::StatusOr<SlicePlan> plan = Plan(slice, shape, Dtype::kF32);
    EXPECT_THAT(plan, test::IsOk());
    return plan.ok() ? plan->run_bytes() : -1;
  };
  EXPECT_EQ(run_bytes("", {4, 5, 6}), 480);
  EXPECT_EQ(run_bytes("1:3", {4, 5, 6}), 240);
  EXPECT_EQ(run_bytes("1", {4, 5, 6}), 120);
  EXPECT_EQ(run_bytes("2, 1:3", {4, 5, 6}), 48);
  EXPECT_EQ(run_bytes("2, 3, 1:3", {4, 5, 6}), 8);
  EXPECT_EQ(run_bytes(":, 1:3", {4, 5, 6}), 48) << "one run per outer element";
  EXPECT_EQ(run_bytes(":, :, 1:3", {4, 5, 6}), 8);
  EXPECT_EQ(run_bytes("::2", {4, 5, 6}), 120);
  EXPECT_EQ(run_bytes(":, 0", {4, 1, 6}), 96) << "a dimension of one does not end a run";
}

TEST(SlicePlanTest, RunIsCutAtMaxBytesAndContinuesThere) {
  TF_ASSERT_OK_AND_ASSIGN(const SlicePlan plan, Plan("1:3", {4, 10}));
  SlicePlan::Cursor cursor(plan);
  const SlicePlan::Run first = cursor.Next(7);
  EXPECT_EQ(first.source_offset, 10);
  EXPECT_EQ(first.size_bytes, 7);
  EXPECT_EQ(cursor.position(), 7);
  EXPECT_EQ(cursor.remaining_bytes(), 13);
  const SlicePlan::Run rest = cursor.Next(kMax);
  EXPECT_EQ(rest.source_offset, 17);
  EXPECT_EQ(rest.size_bytes, 13);
  EXPECT_EQ(cursor.remaining_bytes(), 0);
}

TEST(SlicePlanTest, CursorAtTheEndHasNoBytesLeft) {
  TF_ASSERT_OK_AND_ASSIGN(const SlicePlan plan, Plan("::2", {9, 3}));
  EXPECT_EQ(SlicePlan::Cursor(plan, plan.size_bytes()).remaining_bytes(), 0);
}

TEST(SlicePlanTest, WholeTakesEverythingInOneRun) {
  const Shape shape = {3, 4};
  const SlicePlan plan = SlicePlan::Whole(shape, 48);
  EXPECT_THAT(plan.shape(), ElementsAre(3, 4));
  EXPECT_EQ(plan.size_bytes(), 48);
  EXPECT_EQ(plan.run_bytes(), 48);
  const SlicePlan::Run run = SlicePlan::Cursor(plan, 5).Next(kMax);
  EXPECT_EQ(run.source_offset, 5);
  EXPECT_EQ(run.size_bytes, 43);
}

TEST(SlicePlanTest, WholeOfNothingIsEmpty) {
  const SlicePlan plan = SlicePlan::Whole(Shape{0}, 0);
  EXPECT_EQ(plan.run_bytes(), 0);
  EXPECT_EQ(SlicePlan::Cursor(plan, 0).remaining_bytes(), 0);
}

TEST(SlicePlanTest, GatherCopiesTheResultInPieces) {
  TF_ASSERT_OK_AND_ASSIGN(const SlicePlan plan, Plan(":, 1:3", {3, 4}));
  SlicePlan::Cursor cursor(plan);
  const std::string source = "abcdefghijkl";
  std::string first(3, '.');
  cursor.Gather(test::AsBytes(source), std::as_writable_bytes(std::span(first)));
  EXPECT_EQ(first, "bcf");
  std::string rest(3, '.');
  cursor.Gather(test::AsBytes(source), std::as_writable_bytes(std::span(rest)));
  EXPECT_EQ(rest, "gjk");
  EXPECT_EQ(cursor.remaining_bytes(), 0);
  cursor.Gather(test::AsBytes(source), {});
  EXPECT_EQ(cursor.position(), 6);
}

TEST(SlicePlanTest, HugeTensorIsPlannedWithoutListingRuns) {
  const std::int64_t rows = 1'000'000'000;
  TF_ASSERT_OK_AND_ASSIGN(const SlicePlan plan, Plan(":, 1:3", {rows, 1'000'000}, Dtype::kF32));
  EXPECT_EQ(plan.size_bytes(), rows * 8);
  SlicePlan::Cursor cursor(plan, rows * 8 - 3);
  const SlicePlan::Run run = cursor.Next(100);
  EXPECT_EQ(run.size_bytes, 3);
  EXPECT_EQ(run.source_offset, (rows - 1) * 4'000'000 + 4 + 5);
  EXPECT_EQ(cursor.remaining_bytes(), 0);
}

TEST(SlicePlanTest, RankOf64IsPlanned) {
  Shape shape(64, 1);
  shape[0] = shape[31] = shape[63] = 3;
  SliceSpec spec;
  for (int i = 0; i < 64; ++i) spec.dimensions.push_back(Range{0, 2, 1});
  TF_ASSERT_OK_AND_ASSIGN(const SlicePlan plan, SlicePlan::Create(spec, Dtype::kU8, shape));
  EXPECT_EQ(plan.size_bytes(), 8);
  EXPECT_EQ(plan.shape().size(), 64U);
}

TEST(SubByteSliceTest, SliceOnWholeBytesIsPlanned) {
  TF_ASSERT_OK_AND_ASSIGN(const SlicePlan f4, Plan("2:6", {8}, Dtype::kF4));
  EXPECT_EQ(f4.size_bytes(), 2);
  EXPECT_EQ(SlicePlan::Cursor(f4).Next(9).source_offset, 1);
  TF_ASSERT_OK_AND_ASSIGN(const SlicePlan f6, Plan(":, 4:8", {2, 8}, Dtype::kF6E2M3));
  EXPECT_EQ(f6.size_bytes(), 6);
  EXPECT_EQ(f6.run_bytes(), 3);
  TF_ASSERT_OK_AND_ASSIGN(const SlicePlan rows, Plan("::2", {4, 2}, Dtype::kF4));
  EXPECT_EQ(rows.run_bytes(), 1);
}

TEST(SubByteSliceTest, SliceThatCutsAByteIsRefusedWithTheDimension) {
  EXPECT_THAT(Plan("1:3", {8}, Dtype::kF4), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("dimension 0")));
  EXPECT_THAT(Plan("0:3", {8}, Dtype::kF4), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("dimension 0")));
  EXPECT_THAT(Plan("::2", {8}, Dtype::kF4), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("dimension 0")));
  EXPECT_THAT(Plan("0", {8}, Dtype::kF4), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("dimension 0")));
  EXPECT_THAT(Plan(":, 0:2", {8, 6}, Dtype::kF6E3M2),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("dimension 1")));
  EXPECT_THAT(Plan("1", {2, 3}, Dtype::kF4), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(SubByteSliceTest, EmptySliceCutsNothing) {
  TF_ASSERT_OK_AND_ASSIGN(const SlicePlan plan, Plan("3:3", {8}, Dtype::kF4));
  EXPECT_EQ(plan.size_bytes(), 0);
}

}  // namespace
}  // namespace tensorferry
