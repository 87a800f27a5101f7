// SPDX-License-Identifier: Apache-2.0
// Parts of results, and slices, compared with brute force.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "lib/wire/proto_conversion.h"
#include "tests/server/stream/message_maker_fixture.h"
#include "tests/testing/slice_oracle.h"

namespace tensorferry::server {
namespace {

using MessageMakerSliceTest = MessageMakerFixture;

TEST_F(MessageMakerSliceTest, EveryOffsetAndLimitGivesThatPart) {
  Serve({{"t", Dtype::kI16, {40, 50}}});
  SliceSpec spec{.dimensions = {Range{1, 39, 3}, Range{5, 17, 1}}};
  const std::string all = [&] {
    StreamPlan plan(model_);
    v1::Read read = ReadOf("t");
    *read.mutable_slice() = wire::ToProto(spec);
    EXPECT_TRUE(AddRead(read, plan).ok());
    return Run(plan).at(0);
  }();
  ASSERT_EQ(all.size(), 13U * 12 * 2);
  for (std::size_t offset = 0; offset <= all.size(); ++offset) {
    const std::optional<std::int64_t> limit = random_.OneIn(10) ? std::nullopt : std::optional(random_.Between(0, 100));
    StreamPlan plan(model_);
    v1::Read read = ReadOf("t", static_cast<std::int64_t>(offset), limit);
    *read.mutable_slice() = wire::ToProto(spec);
    TF_ASSERT_OK(AddRead(read, plan));
    EXPECT_EQ(Run(plan).at(0), all.substr(offset, limit ? static_cast<std::size_t>(*limit) : std::string::npos));
  }
}

TEST_F(MessageMakerSliceTest, RandomSlicesOfAllDtypesEqualBruteForce) {
  for (int round = 0; round < 200; ++round) {
    const Dtype dtype = random_.ElementOf(AllDtypes());
    // Rows on both sides of what is gathered, and of the chunk size.
    Serve({{"t",
            dtype,
            {random_.Between(1, 5), random_.Between(1, 40), 8 * random_.Between(1, random_.OneIn(3) ? 4000 : 30)}}});
    SliceSpec spec;
    for (const std::int64_t size : tensors_[0].shape) {
      if (random_.OneIn(5)) {
        spec.dimensions.push_back(Index{random_.Between(-size, size - 1)});
      } else {
        spec.dimensions.push_back(Range{random_.Between(-size - 1, size + 1), random_.Between(-size - 1, size + 1),
                                        random_.OneIn(2) ? 1 : random_.Between(1, 4)});
      }
    }
    v1::Read read = ReadOf("t");
    *read.mutable_slice() = wire::ToProto(spec);
    StreamPlan plan(model_);
    const absl::Status status = AddRead(read, plan);
    const auto expected = test::SliceByBruteForce(spec, dtype, tensors_[0].shape);
    ASSERT_EQ(status.ok(), expected.has_value()) << status << " " << spec.ToString();
    if (!expected) continue;
    std::string bytes;
    for (const std::int64_t source : expected->source_bytes) bytes += data_[static_cast<std::size_t>(source)];
    EXPECT_EQ(Run(plan).at(0), bytes) << DtypeName(dtype) << " " << spec.ToString();
  }
}

}  // namespace
}  // namespace tensorferry::server
