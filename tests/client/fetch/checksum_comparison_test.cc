// SPDX-License-Identifier: Apache-2.0
#include "client/fetch/checksum_comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "lib/checksum/crc32c.h"
#include "lib/checksum/crc32c_combine.h"
#include "tests/testing/random.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry {
namespace {

using test::StatusIs;
using ::testing::HasSubstr;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr auto kAborted = absl::StatusCode::kAborted;

std::uint32_t Crc(std::string_view data) { return Crc32c(test::AsBytes(data)); }

// The heads of a stream's chunks. A chunk of checksums has no data.
using Stream = std::vector<v1::Chunk>;

// The bytes of each part that have arrived, from `begin` on.
struct Arrived {
  std::int64_t begin = 0;
  std::string bytes;
};

std::vector<ReceivedRange> Received(const std::vector<Arrived>& arrived) {
  std::vector<ReceivedRange> ranges;
  for (const Arrived& range : arrived) {
    // A read is numbered by its place in the request, which is independent of its part.
    ranges.push_back({.part = 7 * ranges.size() + 3,
                      .begin = range.begin,
                      .size_bytes = static_cast<std::int64_t>(range.bytes.size()),
                      .crc32c = Crc(range.bytes)});
  }
  return ranges;
}

v1::Chunk Header(std::size_t reads, const std::string& generation = "g1") {
  v1::Chunk chunk;
  chunk.mutable_header()->set_generation(generation);
  chunk.mutable_header()->set_read_count(static_cast<std::int64_t>(reads));
  chunk.mutable_header()->set_instance("i2");
  return chunk;
}

void AddSegment(v1::Chunk& chunk, std::int64_t read, std::int64_t offset, std::int64_t size_bytes) {
  v1::Segment& segment = *chunk.add_segments();
  segment.set_read_index(read);
  segment.set_result_offset(offset);
  segment.set_size_bytes(size_bytes);
}

// Returns a chunk of these segments (read, offset, bytes), with its checksum.
v1::Chunk ChunkOf(const std::vector<std::tuple<std::int64_t, std::int64_t, std::string_view>>& segments) {
  v1::Chunk chunk;
  std::string data;
  for (const auto& [read, offset, bytes] : segments) {
    AddSegment(chunk, read, offset, static_cast<std::int64_t>(bytes.size()));
    data += bytes;
  }
  chunk.set_crc32c(Crc(data));
  return chunk;
}

absl::Status AddAll(const Stream& stream, ChecksumComparison& comparison) {
  for (const v1::Chunk& head : stream) {
    wire::DecodedChunk chunk;
    *chunk.head = head;
    if (absl::Status status = comparison.Add(chunk); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Compare(const std::vector<ReceivedRange>& received, const Stream& stream) {
  ChecksumComparison comparison(received, "g1");
  if (absl::Status status = AddAll(stream, comparison); !status.ok()) return status;
  return comparison.Complete();
}

// Returns the stream of a server that has `bytes` at `arrived`, in the order of its files. It is divided into segments
// and chunks at random, some of which contain several reads.
Stream RandomStream(test::Random& random, const std::vector<Arrived>& arrived, std::int64_t max_bytes) {
  std::vector<std::size_t> order(arrived.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (random.OneIn(2)) std::ranges::shuffle(order, random.generator());
  Stream stream = {Header(arrived.size())};
  std::string data;
  const auto close = [&] {
    if (stream.back().segments_size() > 0) stream.back().set_crc32c(Crc(data));
    data.clear();
  };
  for (const std::size_t read : order) {
    const std::string_view bytes = arrived[read].bytes;
    for (std::size_t position = 0; position < bytes.size();) {
      if (random.OneIn(3)) {
        close();
        stream.emplace_back();
      }
      const auto left = static_cast<std::int64_t>(bytes.size() - position);
      const std::int64_t size = random.Between(1, std::min(left, max_bytes));
      AddSegment(stream.back(), static_cast<std::int64_t>(read),
                 arrived[read].begin + static_cast<std::int64_t>(position), size);
      data += bytes.substr(position, static_cast<std::size_t>(size));
      position += static_cast<std::size_t>(size);
    }
  }
  close();
  if (random.OneIn(3)) stream.emplace_back().set_confirmed_size_bytes(1);
  return stream;
}

std::vector<Arrived> RandomRanges(test::Random& random, std::int64_t max_ranges, std::int64_t max_bytes) {
  std::vector<Arrived> arrived(static_cast<std::size_t>(random.Between(1, max_ranges)));
  for (Arrived& range : arrived) {
    range.begin = random.OneIn(3) ? 0 : random.Between(0, std::int64_t{1} << 40);
    range.bytes = random.Bytes(static_cast<std::size_t>(random.Between(1, max_bytes)));
  }
  return arrived;
}

TEST(ChecksumComparisonTest, EqualBytesAgreeHoweverTheyAreDivided) {
  test::Random random;
  for (int round = 0; round < 500; ++round) {
    const std::int64_t max_bytes = random.OneIn(20) ? 50'000 : 50;
    const std::vector<Arrived> arrived = RandomRanges(random, 8, max_bytes);
    TF_ASSERT_OK(Compare(Received(arrived), RandomStream(random, arrived, max_bytes)));
  }
}

TEST(ChecksumComparisonTest, OneDifferentByteAnywhereIsAborted) {
  test::Random random;
  for (int round = 0; round < 50; ++round) {
    const std::vector<Arrived> arrived = RandomRanges(random, 5, 20);
    const std::vector<ReceivedRange> received = Received(arrived);
    for (std::size_t read = 0; read < arrived.size(); ++read) {
      for (std::size_t i = 0; i < arrived[read].bytes.size(); ++i) {
        std::vector<Arrived> others = arrived;
        char& byte = others[read].bytes[i];
        byte = static_cast<char>(byte ^ random.Between(1, 255));
        ASSERT_THAT(Compare(received, RandomStream(random, others, 20)), StatusIs(kAborted, HasSubstr("other bytes")))
            << read << " " << i;
      }
    }
  }
}

TEST(ChecksumComparisonTest, BytesThatChangedPlacesAreAborted) {
  test::Random random;
  const std::vector<Arrived> arrived = {{0, "abcd"}, {10, "efgh"}};
  for (const std::vector<Arrived>& others :
       {std::vector<Arrived>{{0, "efgh"}, {10, "abcd"}}, {{0, "abdc"}, {10, "efgh"}}, {{0, "abce"}, {10, "dfgh"}}}) {
    EXPECT_THAT(Compare(Received(arrived), RandomStream(random, others, 4)), StatusIs(kAborted));
  }
}

TEST(ChecksumComparisonTest, OtherChecksumsOnEitherSideAreAborted) {
  test::Random random;
  const std::vector<Arrived> arrived = RandomRanges(random, 5, 100);
  const Stream stream = RandomStream(random, arrived, 30);
  TF_EXPECT_OK(Compare(Received(arrived), stream));
  for (std::size_t i = 0; i < stream.size(); ++i) {
    if (stream[i].segments().empty()) continue;
    Stream other = stream;
    other[i].set_crc32c(stream[i].crc32c() ^ 1U << random.Below(32));
    EXPECT_THAT(Compare(Received(arrived), other), StatusIs(kAborted)) << "message " << i;
  }
  for (std::size_t i = 0; i < arrived.size(); ++i) {
    std::vector<ReceivedRange> received = Received(arrived);
    received[i].crc32c ^= 1U << random.Below(32);
    EXPECT_THAT(Compare(received, stream), StatusIs(kAborted)) << "read " << i;
  }
}

TEST(ChecksumComparisonTest, HugeRangesAreCompared) {
  // The checksum of zeros can be computed without the bytes.
  const std::int64_t size = std::int64_t{1} << 40;
  std::uint32_t zeros = Crc(std::string(1, '\0'));
  for (std::int64_t known = 1; known < size; known *= 2) zeros = Crc32cCombine(zeros, zeros, known);
  const std::uint32_t half = Crc32cWithoutPrefix(zeros, Crc(std::string(5, '\0')), size - 5);
  Stream stream = {Header(1), ChunkOf({{0, 0, std::string(5, '\0')}}), {}};
  AddSegment(stream[2], 0, 5, size - 5);
  stream[2].set_crc32c(half);
  TF_EXPECT_OK(Compare({{.part = 0, .begin = 0, .size_bytes = size, .crc32c = zeros}}, stream));
  stream[2].set_crc32c(half + 1);
  EXPECT_THAT(Compare({{.part = 0, .begin = 0, .size_bytes = size, .crc32c = zeros}}, stream), StatusIs(kAborted));
}

TEST(ChecksumComparisonTest, AnotherGenerationIsAborted) {
  const std::vector<Arrived> arrived = {{0, "abcd"}};
  EXPECT_THAT(Compare(Received(arrived), {Header(1, "g2")}), StatusIs(kAborted, HasSubstr("g2")));
  EXPECT_THAT(Compare(Received(arrived), {Header(1, "")}), StatusIs(kAborted));
}

TEST(ChecksumComparisonTest, AnotherNumberOfReadsIsDataLoss) {
  const std::vector<Arrived> arrived = {{0, "abcd"}, {0, "efgh"}};
  for (const std::size_t reads : {0U, 1U, 3U}) {
    EXPECT_THAT(Compare(Received(arrived), {Header(reads)}), StatusIs(kDataLoss, HasSubstr("2 were requested")));
  }
}

TEST(ChecksumComparisonTest, HeaderThatIsNotInTheFirstMessageOnlyIsDataLoss) {
  const std::vector<Arrived> arrived = {{0, "abcd"}};
  const v1::Chunk all = ChunkOf({{0, 0, "abcd"}});
  TF_EXPECT_OK(Compare(Received(arrived), {Header(1), all}));
  EXPECT_THAT(Compare(Received(arrived), {all}), StatusIs(kDataLoss, HasSubstr("header")));
  EXPECT_THAT(Compare(Received(arrived), {all, Header(1)}), StatusIs(kDataLoss, HasSubstr("header")));
  EXPECT_THAT(Compare(Received(arrived), {Header(1), Header(1), all}), StatusIs(kDataLoss, HasSubstr("header")));
  EXPECT_THAT(Compare(Received(arrived), {Header(1), all, Header(1)}), StatusIs(kDataLoss, HasSubstr("header")));
}

TEST(ChecksumComparisonTest, StreamThatEndsEarlyIsDataLoss) {
  test::Random random;
  const std::vector<Arrived> arrived = RandomRanges(random, 5, 100);
  Stream stream = RandomStream(random, arrived, 30);
  while (!stream.empty()) {
    if (stream.back().segments().empty()) {
      stream.pop_back();
      continue;
    }
    stream.back().mutable_segments()->RemoveLast();
    EXPECT_THAT(Compare(Received(arrived), stream), StatusIs(kDataLoss, HasSubstr("missing"))) << stream.size();
  }
  EXPECT_THAT(Compare(Received(arrived), {}), StatusIs(kDataLoss, HasSubstr("missing")));
}

// Each case is the segments of one stream, for bytes [2, 6) of read 0 and [0, 8) of read 1.
TEST(ChecksumComparisonTest, SegmentsThatDoNotFollowEachOtherAreDataLoss) {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
  const std::vector<ReceivedRange> received = Received({{2, "abcd"}, {0, "efghijkl"}});
  using Segments = std::vector<std::tuple<std::int64_t, std::int64_t, std::int64_t>>;
  const std::vector<std::pair<std::string, Segments>> wrong = {
      {"from the start of the result", {{0, 0, 4}}},
      {"a gap at the beginning", {{0, 3, 3}}},
      {"a gap", {{0, 2, 1}, {0, 4, 2}}},
      {"an overlap", {{0, 2, 2}, {0, 3, 3}}},
      {"out of order", {{0, 4, 2}, {0, 2, 2}}},
      {"beyond the end", {{0, 2, 5}}},
      {"beyond the end at last", {{0, 2, 3}, {0, 5, 2}}},
      {"another read in between", {{0, 2, 2}, {1, 0, 8}, {0, 4, 2}}},
      {"another read that continues in its place", {{0, 2, 2}, {1, 4, 4}}},
      {"a read twice", {{0, 2, 4}, {0, 2, 4}}},
      {"a read twice, and another in between", {{1, 0, 8}, {0, 2, 4}, {1, 0, 8}}},
      {"a read that continues after its end", {{0, 2, 4}, {0, 6, 1}}},
      {"a read that was not requested", {{2, 0, 1}}},
      {"a negative read", {{-1, 2, 4}}},
      {"a read of a great number", {{kMax, 0, 1}}},
      {"a read of a small number", {{kMin, 0, 1}}},
      {"a huge size", {{0, 2, kMax}}},
      {"a huge offset", {{0, kMax, 1}}},
      {"a negative offset", {{1, -1, 3}}},
      {"the smallest offset", {{0, kMin, 4}}},
  };
  for (const auto& [what, segments] : wrong) {
    // All segments in one chunk, or each in its own.
    Stream one = {Header(2)};
    Stream many = {Header(2)};
    for (const auto& [read, offset, size] : segments) {
      AddSegment(one.back(), read, offset, size);
      AddSegment(many.emplace_back(), read, offset, size);
    }
    for (const Stream& stream : {one, many}) {
      ChecksumComparison comparison(received, "g1");
      EXPECT_THAT(AddAll(stream, comparison), StatusIs(kDataLoss)) << what;
    }
  }
}

TEST(ChecksumComparisonTest, ResultsAndConfirmationsAreIgnored) {
  Stream stream = {Header(1), {}, ChunkOf({{0, 5, "ab"}}), {}, ChunkOf({{0, 7, "cd"}}), {}};
  stream[1].add_results()->set_name("a");
  stream[3].set_confirmed_size_bytes(2);
  stream[5].set_confirmed_size_bytes(4);
  TF_EXPECT_OK(Compare(Received({{5, "abcd"}}), stream));
}

}  // namespace
}  // namespace tensorferry
