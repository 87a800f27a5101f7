// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tensorferry/slice_plan.h"
#include "tests/testing/random.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/slice_oracle.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry {
namespace {

constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
// The largest result that is compared byte by byte.
constexpr std::int64_t kMaxElements = 512;

using Shape = std::vector<std::int64_t>;

// Returns a shape of at most kMaxElements elements whose size is a whole number of bytes.
Shape RandomShape(test::Random& random, Dtype dtype) {
  Shape shape;
  std::int64_t elements = 1;
  for (std::int64_t rank = random.Between(0, 6); rank > 0; --rank) {
    const std::int64_t limit =
        std::min<std::int64_t>(random.OneIn(3) ? 40 : 6, kMaxElements / std::max<std::int64_t>(elements, 1));
    shape.push_back(random.OneIn(20) ? 0 : random.OneIn(4) ? 1 : random.Between(1, std::max<std::int64_t>(limit, 1)));
    elements *= shape.back();
  }
  const std::int64_t whole = BitWidth(dtype) == 4 ? 2 : BitWidth(dtype) == 6 ? 4 : 1;
  if (elements % whole == 0) return shape;
  if (shape.empty()) return {whole};
  shape[random.Below(shape.size())] *= whole;
  return shape;
}

std::int64_t RandomBound(test::Random& random, std::int64_t size) {
  if (random.OneIn(30)) return random.OneOf({kMin, kMin + 1, kMax, kMax - 1});
  return random.Between(-size - 2, size + 2);
}

DimensionSlice RandomSlice(test::Random& random, Dtype dtype, std::int64_t size) {
  if (random.OneIn(4))
    return Index{random.OneIn(10) ? RandomBound(random, size) : random.Between(-size, size - (size > 0))};
  Range range;
  if (!random.OneIn(3)) range.start = RandomBound(random, size);
  if (!random.OneIn(3)) range.stop = RandomBound(random, size);
  if (random.OneIn(3)) range.step = random.OneIn(20) ? random.OneOf({0, -1, kMin, kMax}) : random.Between(1, size + 1);
  // Without this, hardly any slice of a narrow dtype would be valid.
  if (BitWidth(dtype) < 8 && !random.OneIn(3)) {
    if (range.start) *range.start &= ~std::int64_t{3};
    if (range.stop) *range.stop &= ~std::int64_t{3};
    if (!random.OneIn(4)) range.step = 1;
  }
  return range;
}

SliceSpec RandomSpec(test::Random& random, Dtype dtype, const Shape& shape) {
  SliceSpec spec;
  const std::size_t entries = random.OneIn(40) ? shape.size() + 1 : random.Below(shape.size() + 1);
  for (std::size_t d = 0; d < entries; ++d) {
    spec.dimensions.push_back(RandomSlice(random, dtype, d < shape.size() ? shape[d] : 1));
  }
  return spec;
}

struct Oracle {
  explicit Oracle(const std::vector<std::int64_t>& bytes) : source_bytes(bytes), contiguous_bytes(bytes.size(), 1) {
    for (std::size_t i = bytes.size(); i-- > 1;) {
      if (bytes[i - 1] + 1 == bytes[i]) contiguous_bytes[i - 1] = contiguous_bytes[i] + 1;
    }
  }

  const std::vector<std::int64_t>& source_bytes;
  // For each byte of the result, the number of bytes from it on that are contiguous in the tensor.
  std::vector<std::int64_t> contiguous_bytes;
};

class SlicePlanOracleTest : public ::testing::Test {
 protected:
  // Compares a cursor that starts at `offset` with the oracle, for at most `max_runs` runs. Returns the first
  // difference, or an empty string. Assertions would take most of the time here.
  std::string WrongWalkFrom(std::int64_t offset, const SlicePlan& plan, const Oracle& oracle, std::int64_t max_runs) {
    SlicePlan::Cursor cursor(plan, offset);
    for (; cursor.remaining_bytes() > 0 && max_runs > 0; --max_runs) {
      const std::int64_t max_bytes = random_.OneIn(3) ? kMax : random_.Between(1, 20);
      const SlicePlan::Run run = cursor.Next(max_bytes);
      const auto at = static_cast<std::size_t>(offset);
      if (run.size_bytes != std::min(max_bytes, plan.run_bytes() - offset % plan.run_bytes()) ||
          run.size_bytes > oracle.contiguous_bytes[at] || run.source_offset != oracle.source_bytes[at]) {
        return "wrong run at byte " + std::to_string(offset);
      }
      offset += run.size_bytes;
      if (cursor.position() != offset || cursor.remaining_bytes() != plan.size_bytes() - offset) {
        return "wrong position at byte " + std::to_string(offset);
      }
    }
    return max_runs > 0 && offset != plan.size_bytes() ? "ends at byte " + std::to_string(offset) : "";
  }

  void ExpectGathered(const SlicePlan& plan, const std::string& source, const std::vector<std::int64_t>& bytes) {
    const std::int64_t begin = random_.Between(0, plan.size_bytes());
    SlicePlan::Cursor cursor(plan, begin);
    std::string gathered;
    while (cursor.remaining_bytes() > 0) {
      std::string piece(
          static_cast<std::size_t>(random_.Between(0, std::min<std::int64_t>(cursor.remaining_bytes(), 300))), '.');
      cursor.Gather(test::AsBytes(source), std::as_writable_bytes(std::span(piece)));
      gathered += piece;
    }
    std::string expected;
    for (auto i = static_cast<std::size_t>(begin); i < bytes.size(); ++i) {
      expected += source[static_cast<std::size_t>(bytes[i])];
    }
    ASSERT_EQ(gathered, expected);
  }

  void ExpectAgreement(const SliceSpec& spec, Dtype dtype, const Shape& shape) {
    const std::optional<test::SliceResult> expected = test::SliceByBruteForce(spec, dtype, shape);
    const absl::StatusOr<SlicePlan> plan = SlicePlan::Create(spec, dtype, shape);
    ASSERT_EQ(plan.ok(), expected.has_value()) << plan.status();
    if (!expected) {
      ASSERT_THAT(plan, test::StatusIs(absl::StatusCode::kInvalidArgument));
      ++refused_;
      return;
    }
    ++taken_;
    ASSERT_EQ(Shape(plan->shape().begin(), plan->shape().end()), expected->shape);
    ASSERT_EQ(plan->size_bytes(), static_cast<std::int64_t>(expected->source_bytes.size()));
    const Oracle oracle(expected->source_bytes);
    ASSERT_EQ(WrongWalkFrom(0, *plan, oracle, kMax), "");
    for (std::int64_t offset = 0; offset <= plan->size_bytes(); ++offset) {
      ASSERT_EQ(WrongWalkFrom(offset, *plan, oracle, 2), "") << "from offset " << offset;
    }
    const std::string source = random_.Bytes(static_cast<std::size_t>(test::SizeBytes({"", dtype, shape})));
    ExpectGathered(*plan, source, expected->source_bytes);
  }

  test::Random random_;
  int taken_ = 0;
  int refused_ = 0;
};

TEST_F(SlicePlanOracleTest, RandomSlicesOfAllDtypesAgreeWithBruteForce) {
  constexpr int kCases = 60'000;
  for (int i = 0; i < kCases; ++i) {
    const Dtype dtype = random_.OneIn(3) ? static_cast<Dtype>(random_.Between(1, 3)) : random_.ElementOf(AllDtypes());
    const Shape shape = RandomShape(random_, dtype);
    const SliceSpec spec = RandomSpec(random_, dtype, shape);
    SCOPED_TRACE(::testing::Message() << "case " << i << ": " << DtypeName(dtype) << ' '
                                      << ::testing::PrintToString(shape) << spec.ToString());
    ExpectAgreement(spec, dtype, shape);
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(taken_, kCases / 4) << "too few random slices are valid";
  EXPECT_GT(refused_, kCases / 50) << "too few random slices are invalid";
}

TEST_F(SlicePlanOracleTest, EverySliceOfSmallNarrowTensorsAgreesWithBruteForce) {
  for (const Dtype dtype : {Dtype::kF4, Dtype::kF6E2M3, Dtype::kU8}) {
    for (const Shape& shape : {Shape{8}, Shape{2, 4}, Shape{4, 2}, Shape{4, 3}, Shape{3, 4}, Shape{2, 2, 2}}) {
      for (std::int64_t start = 0; start <= shape.back(); ++start) {
        for (std::int64_t stop = start; stop <= shape.back(); ++stop) {
          for (std::int64_t step = 1; step <= 3; ++step) {
            for (const DimensionSlice& outer :
                 {DimensionSlice(Range{}), DimensionSlice(Index{1}), DimensionSlice(Range{{}, {}, 2})}) {
              SliceSpec spec;
              if (shape.size() > 1) spec.dimensions.push_back(outer);
              if (shape.size() > 2) spec.dimensions.push_back(Range{});
              spec.dimensions.push_back(Range{start, stop, step});
              SCOPED_TRACE(::testing::Message()
                           << DtypeName(dtype) << ::testing::PrintToString(shape) << spec.ToString());
              ExpectAgreement(spec, dtype, shape);
              if (HasFatalFailure()) return;
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace tensorferry
