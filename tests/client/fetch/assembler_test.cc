// SPDX-License-Identifier: Apache-2.0
#include "client/fetch/assembler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "lib/checksum/crc32c.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry {
namespace {

using test::StatusIs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

// Builds a chunk. Repeated calls add repeated fields.
class ChunkOf {
 public:
  ChunkOf&& Header(std::string generation, std::int64_t reads) && {
    chunk_.head->mutable_header()->set_generation(std::move(generation));
    chunk_.head->mutable_header()->set_read_count(reads);
    chunk_.head->mutable_header()->set_instance("i1");
    return std::move(*this);
  }
  ChunkOf&& Digest(std::string digest) && {
    chunk_.head->mutable_header()->set_digest(std::move(digest));
    return std::move(*this);
  }
  ChunkOf&& Result(std::string name, std::string dtype, std::vector<std::int64_t> shape, std::int64_t size) && {
    v1::ReadResult& result = *chunk_.head->add_results();
    result.set_name(std::move(name));
    result.set_dtype(std::move(dtype));
    result.mutable_shape()->Add(shape.begin(), shape.end());
    result.set_size_bytes(size);
    return std::move(*this);
  }
  ChunkOf&& Data(std::int64_t read, std::int64_t offset, std::string bytes) && {
    v1::Segment& segment = *chunk_.head->add_segments();
    segment.set_read_index(read);
    segment.set_result_offset(offset);
    segment.set_size_bytes(static_cast<std::int64_t>(bytes.size()));
    bytes_.push_back(std::move(bytes));
    chunk_.data.push_back(test::AsBytes(bytes_.back()));
    chunk_.data_size_bytes += segment.size_bytes();
    return std::move(*this);
  }

  ChunkOf&& Instance(std::string instance) && {
    chunk_.head->mutable_header()->set_instance(std::move(instance));
    return std::move(*this);
  }
  ChunkOf&& Confirmed(std::int64_t size_bytes) && {
    chunk_.head->set_confirmed_size_bytes(size_bytes);
    return std::move(*this);
  }

  // Makes the checksum wrong.
  ChunkOf&& Damaged() && {
    damage_ = 1;
    return std::move(*this);
  }

  const wire::DecodedChunk& chunk() const {
    std::uint32_t crc = 0;
    for (const std::string& bytes : bytes_) crc = Crc32c(test::AsBytes(bytes), crc);
    if (!bytes_.empty()) chunk_.head->set_crc32c(crc ^ damage_);
    return chunk_;
  }

 private:
  wire::DecodedChunk chunk_;
  std::uint32_t damage_ = 0;
  std::deque<std::string> bytes_;
};

class AssemblerTest : public ::testing::Test {
 protected:
  // Returns the parts of two tensors: all 4 bytes of "a", and bytes [2, 6) of the 6 bytes of "b".
  std::vector<ExpectedPart> Parts() {
    return {{.name = "a", .begin = 0, .end = 4, .result_bytes = 4, .memory = to_a_},
            {.name = "b", .begin = 2, .end = 6, .result_bytes = 6, .memory = to_b_}};
  }
  static ChunkOf Announcement() {
    return ChunkOf().Header("g1", 2).Result("a", "U8", {4}, 4).Result("b", "U8", {2, 3}, 6);
  }
  absl::Status Add(const ChunkOf& chunk) { return assembler_.Add(chunk.chunk()); }

  std::string a_ = "....";
  std::string b_ = "......";
  std::span<std::byte> to_a_ = std::as_writable_bytes(std::span(a_));
  std::span<std::byte> to_b_ = std::as_writable_bytes(std::span(b_));
  Assembler assembler_{Parts(), "", ""};
};

TEST_F(AssemblerTest, PutsBytesIntoTheirPlaces) {
  TF_ASSERT_OK(Add(Announcement().Data(1, 2, "cd").Data(0, 0, "w")));
  TF_ASSERT_OK(Add(ChunkOf().Data(0, 1, "xyz").Data(1, 4, "ef")));
  TF_EXPECT_OK(assembler_.Complete());
  EXPECT_EQ(a_, "wxyz");
  EXPECT_EQ(b_, "..cdef");
  EXPECT_EQ(assembler_.generation(), "g1");
  ASSERT_EQ(assembler_.results().size(), 2U);
  EXPECT_THAT(assembler_.results()[1].shape, ElementsAre(2, 3));
}

// Records the bytes that are written to it, which must have been verified.
class CheckedSink final : public Sink {
 public:
  explicit CheckedSink(std::string& bytes) : bytes_(bytes) {}

  std::int64_t size_bytes() const override { return static_cast<std::int64_t>(bytes_.size()); }
  absl::Status Write(std::int64_t offset, std::span<const std::byte> data) override {
    bytes_.replace(static_cast<std::size_t>(offset), data.size(), test::AsString(data));
    return absl::OkStatus();
  }
  absl::Status Finish() override { return absl::OkStatus(); }

 private:
  std::string& bytes_;
};

TEST_F(AssemblerTest, ChunkWithAWrongChecksumIsStillMissing) {
  TF_ASSERT_OK(Add(Announcement().Data(0, 0, "w")));
  EXPECT_THAT(Add(ChunkOf().Data(0, 1, "??").Data(1, 2, "????").Damaged()),
              StatusIs(kDataLoss, HasSubstr("checksum mismatch")));
  EXPECT_EQ(assembler_.received_bytes(), 1);
  const std::vector<RemainingRange> remaining = assembler_.Resume();
  ASSERT_EQ(remaining.size(), 2U);
  EXPECT_EQ(remaining[0].begin, 1);
  EXPECT_EQ(remaining[0].size_bytes, 3);
  EXPECT_EQ(remaining[1].begin, 2);
  TF_ASSERT_OK(Add(Announcement().Data(1, 2, "cdef").Data(0, 1, "xyz")));
  TF_EXPECT_OK(assembler_.Complete());
  EXPECT_TRUE(assembler_.done());
  EXPECT_EQ(a_, "wxyz");
  EXPECT_EQ(b_, "..cdef");
}

TEST_F(AssemblerTest, SegmentNextToABrokenOneIsStillMissing) {
  TF_ASSERT_OK(Add(Announcement()));
  EXPECT_THAT(Add(ChunkOf().Data(1, 2, "cd").Data(0, 1, "x")), StatusIs(kDataLoss, HasSubstr("are missing")));
  EXPECT_EQ(assembler_.received_bytes(), 0);
  EXPECT_EQ(assembler_.Resume().at(1).begin, 2);
}

TEST_F(AssemblerTest, OnlyMemoryIsWrittenBeforeTheChecksumIsKnown) {
  CheckedSink to_a(a_);
  Assembler assembler({{.name = "a", .begin = 0, .end = 4, .result_bytes = 4, .sink = &to_a},
                       {.name = "b", .begin = 2, .end = 6, .result_bytes = 6, .memory = to_b_}},
                      "", "");
  EXPECT_THAT(assembler.Add(Announcement().Data(1, 2, "????").Data(0, 0, "????").Damaged().chunk()),
              StatusIs(kDataLoss, HasSubstr("checksum mismatch")));
  EXPECT_EQ(a_ + b_, "..........");
  EXPECT_EQ(assembler.Resume().size(), 2U);
  TF_ASSERT_OK(assembler.Add(Announcement().Data(1, 2, "cdef").Data(0, 0, "wxyz").chunk()));
  TF_EXPECT_OK(assembler.Complete());
  EXPECT_EQ(a_ + b_, "wxyz..cdef");
}

TEST_F(AssemblerTest, ResultsMayComeOverSeveralChunks) {
  TF_ASSERT_OK(Add(ChunkOf().Header("g1", 2).Result("a", "U8", {4}, 4)));
  TF_ASSERT_OK(Add(ChunkOf().Result("b", "U8", {6}, 6).Data(0, 0, "wxyz").Data(1, 2, "cdef")));
  TF_EXPECT_OK(assembler_.Complete());
}

TEST_F(AssemblerTest, MissingEndIsNamed) {
  TF_ASSERT_OK(Add(Announcement().Data(0, 0, "wxyz").Data(1, 2, "cd")));
  EXPECT_THAT(assembler_.Complete(), StatusIs(kDataLoss, HasSubstr("bytes [4, 6) of \"b\" missing")));
}

TEST_F(AssemblerTest, EmptyStreamIsNotComplete) {
  EXPECT_THAT(assembler_.Complete(), StatusIs(kDataLoss, HasSubstr("before its header")));
}

TEST_F(AssemblerTest, MissingResultIsNotComplete) {
  TF_ASSERT_OK(Add(ChunkOf().Header("g1", 2).Result("a", "U8", {4}, 4)));
  EXPECT_THAT(assembler_.Complete(), StatusIs(kDataLoss, HasSubstr("before all results")));
}

TEST_F(AssemblerTest, DataBeforeTheHeaderIsRefused) {
  EXPECT_THAT(Add(ChunkOf().Data(0, 0, "wxyz")), StatusIs(kDataLoss, HasSubstr("begins without a header")));
}

TEST_F(AssemblerTest, SecondHeaderIsRefused) {
  TF_ASSERT_OK(Add(Announcement()));
  EXPECT_THAT(Add(Announcement()), StatusIs(kDataLoss, HasSubstr("second header")));
}

TEST_F(AssemblerTest, DataBeforeAllResultsIsRefused) {
  EXPECT_THAT(Add(ChunkOf().Header("g1", 2).Result("a", "U8", {4}, 4).Data(0, 0, "wxyz")),
              StatusIs(kDataLoss, HasSubstr("before all results")));
}

TEST_F(AssemblerTest, GapDuplicateExcessAndUnknownReadsAreRefused) {
  const std::vector<std::pair<int, std::pair<int, std::string>>> kWrong = {
      {0, {1, "x"}},      // a gap
      {1, {0, "ab"}},     // before the requested range
      {0, {0, "wxyz!"}},  // beyond the end
      {1, {2, "cdef!"}},  // beyond the end
      {2, {0, "w"}},      // a read that was not requested
      {-1, {0, "w"}},     //
      {0, {-1, "w"}},     //
  };
  for (const auto& [read, data] : kWrong) {
    Assembler assembler(Parts(), "", "");
    EXPECT_THAT(assembler.Add(Announcement().Data(read, data.first, data.second).chunk()), StatusIs(kDataLoss))
        << read << " " << data.first;
  }
  TF_ASSERT_OK(Add(Announcement().Data(0, 0, "wx")));
  EXPECT_THAT(Add(ChunkOf().Data(0, 0, "wx")), StatusIs(kDataLoss, HasSubstr("[2, 4) are missing"))) << "a duplicate";
}

TEST_F(AssemblerTest, WrongReadCountIsRefused) {
  EXPECT_THAT(Add(ChunkOf().Header("g1", 3)), StatusIs(kDataLoss, HasSubstr("3 reads where 2 were requested")));
}

TEST_F(AssemblerTest, TensorThatWasNotRequestedIsRefused) {
  EXPECT_THAT(Add(ChunkOf().Header("g1", 2).Result("b", "U8", {4}, 4)), StatusIs(kDataLoss, HasSubstr("\"b\" where")));
}

TEST_F(AssemblerTest, DestinationOfAnotherSizeIsTheCallersError) {
  EXPECT_THAT(Add(ChunkOf().Header("g1", 2).Result("a", "U8", {5}, 5)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("\"a\" has 4 bytes, the result 5")));
}

TEST_F(AssemblerTest, SizeThatShapeAndDtypeCannotHaveIsRefused) {
  for (const std::vector<std::int64_t>& shape :
       {std::vector<std::int64_t>{5}, {-4}, {2, std::int64_t{1} << 62}, {}, {std::int64_t{1} << 62, 16}}) {
    Assembler assembler(Parts(), "", "");
    EXPECT_THAT(assembler.Add(ChunkOf().Header("g1", 2).Result("a", "U8", shape, 4).chunk()), StatusIs(kDataLoss));
  }
  EXPECT_THAT(Add(ChunkOf().Header("g1", 2).Result("a", "F31", {4}, 4)),
              StatusIs(absl::StatusCode::kUnimplemented, HasSubstr("F31")));
}

TEST_F(AssemblerTest, AnotherGenerationThanRequiredIsAborted) {
  Assembler assembler(Parts(), "g0", "");
  EXPECT_THAT(assembler.Add(Announcement().chunk()), StatusIs(absl::StatusCode::kAborted, HasSubstr("g0")));
}

TEST_F(AssemblerTest, MissingGenerationIsRefused) {
  EXPECT_THAT(Add(ChunkOf().Header("", 2)), StatusIs(kDataLoss, HasSubstr("no generation")));
}

TEST_F(AssemblerTest, AnotherDigestThanRequiredIsAborted) {
  Assembler assembler({{.name = "f", .is_file = true, .begin = 0, .end = 4, .memory = to_a_}}, "", "p0");
  EXPECT_THAT(assembler.Add(ChunkOf().Header("g1", 1).Digest("p1").chunk()),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("p1")));
}

TEST_F(AssemblerTest, RangeOfAFileGoesToTheStartOfItsDestination) {
  Assembler assembler({{.name = "f", .is_file = true, .begin = 10, .end = 14, .memory = to_a_, .origin = 10}}, "",
                      "p1");
  TF_ASSERT_OK(
      assembler.Add(ChunkOf().Header("g1", 1).Digest("p1").Result("f", "", {20}, 20).Data(0, 10, "wxyz").chunk()));
  TF_EXPECT_OK(assembler.Complete());
  EXPECT_EQ(a_, "wxyz");
}

TEST_F(AssemblerTest, RangeBeyondTheEndOfAFileIsTheCallersError) {
  Assembler assembler({{.name = "f", .is_file = true, .begin = 10, .end = 14, .memory = to_a_, .origin = 10}}, "", "");
  EXPECT_THAT(assembler.Add(ChunkOf().Header("g1", 1).Result("f", "", {13}, 13).chunk()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("[10, 14) exceed \"f\" of 13 bytes")));
}

MATCHER_P3(Remains, part, begin, size_bytes, "") {
  return arg.part == static_cast<std::size_t>(part) && arg.begin == begin && arg.size_bytes == size_bytes;
}

TEST_F(AssemblerTest, StreamThatBrokeIsResumedAtTheFirstMissingByteOfEachPart) {
  TF_ASSERT_OK(Add(Announcement().Data(0, 0, "wx").Data(1, 2, "c")));
  EXPECT_EQ(assembler_.received_bytes(), 3);
  EXPECT_THAT(assembler_.Resume(), ElementsAre(Remains(0, 2, 2), Remains(1, 3, 3)));
  TF_ASSERT_OK(Add(Announcement().Data(1, 3, "def").Data(0, 2, "yz")));
  TF_ASSERT_OK(assembler_.Complete());
  EXPECT_TRUE(assembler_.done());
  EXPECT_EQ(assembler_.received_bytes(), 8);
  EXPECT_EQ(a_ + b_, "wxyz..cdef");
}

TEST_F(AssemblerTest, PartThatArrivedIsRequestedAgainOnlyForItsConfirmation) {
  TF_ASSERT_OK(Add(Announcement().Data(0, 0, "wxyz").Data(1, 2, "c")));
  EXPECT_THAT(assembler_.Resume(), ElementsAre(Remains(0, 4, 0), Remains(1, 3, 3)));
  TF_ASSERT_OK(Add(Announcement().Data(1, 3, "def")));
  EXPECT_FALSE(assembler_.done());
  TF_ASSERT_OK(assembler_.Complete());
  EXPECT_TRUE(assembler_.done());
  EXPECT_EQ(a_ + b_, "wxyz..cdef");
}

TEST_F(AssemblerTest, ConfirmedPartIsNotRequestedAgain) {
  TF_ASSERT_OK(Add(Announcement().Data(0, 0, "wxyz").Data(1, 2, "c").Confirmed(4)));
  EXPECT_THAT(assembler_.TakeConfirmed(), ElementsAre(0U));
  EXPECT_THAT(assembler_.Resume(), ElementsAre(Remains(1, 3, 3)));
  // The reads are numbered in the order of the new request.
  TF_ASSERT_OK(Add(ChunkOf().Header("g1", 1).Result("b", "U8", {2, 3}, 6).Data(0, 3, "def")));
  EXPECT_THAT(assembler_.TakeConfirmed(), ElementsAre());
  TF_ASSERT_OK(Add(ChunkOf().Confirmed(3)));
  EXPECT_THAT(assembler_.TakeConfirmed(), ElementsAre(1U));
  EXPECT_TRUE(assembler_.done());
}

TEST_F(AssemblerTest, PartIsConfirmedOnlyWithItsLastByte) {
  TF_ASSERT_OK(Add(Announcement().Data(0, 0, "wxy").Confirmed(3)));
  TF_ASSERT_OK(Add(ChunkOf().Data(0, 3, "z").Data(1, 2, "cdef").Confirmed(3)));
  EXPECT_THAT(assembler_.TakeConfirmed(), ElementsAre());
  TF_ASSERT_OK(Add(ChunkOf().Confirmed(7)));
  EXPECT_THAT(assembler_.TakeConfirmed(), ElementsAre(0U));
  TF_ASSERT_OK(Add(ChunkOf().Confirmed(8)));
  EXPECT_THAT(assembler_.TakeConfirmed(), ElementsAre(1U));
}

TEST_F(AssemblerTest, ImpossibleConfirmationsAreRefused) {
  TF_ASSERT_OK(Add(Announcement().Data(0, 0, "wxyz").Confirmed(2)));
  EXPECT_THAT(Add(ChunkOf().Confirmed(1)), StatusIs(kDataLoss, HasSubstr("confirms 1 bytes after 2")));
  Assembler other(Parts(), "", "");
  EXPECT_THAT(other.Add(Announcement().Data(0, 0, "wxyz").Confirmed(5).chunk()),
              StatusIs(kDataLoss, HasSubstr("has sent 4")));
  Assembler negative(Parts(), "", "");
  EXPECT_THAT(negative.Add(Announcement().Confirmed(-1).chunk()), StatusIs(kDataLoss));
}

TEST_F(AssemblerTest, BytesOfAnotherInstanceMustBeComparedFirst) {
  v1::StreamHeader other;
  other.set_generation("g1");
  other.set_instance("i2");
  EXPECT_FALSE(assembler_.MustCompare(other)) << "nothing has arrived";
  TF_ASSERT_OK(Add(Announcement().Data(0, 0, "wxyz").Data(1, 2, "c")));
  EXPECT_TRUE(assembler_.MustCompare(other));
  other.set_instance("i1");
  EXPECT_FALSE(assembler_.MustCompare(other));
  other.set_instance("");
  EXPECT_TRUE(assembler_.MustCompare(other)) << "a server that does not identify itself may be any";
  assembler_.Resume();
  EXPECT_THAT(Add(Announcement().Instance("i2")), StatusIs(absl::StatusCode::kInternal));
  assembler_.Resume();
  assembler_.AddEqualInstance("i2");
  EXPECT_EQ(assembler_.instance(), "i2");
  EXPECT_THAT(assembler_.TakeConfirmed(), ElementsAre(0U)) << "compared bytes are confirmed";
  EXPECT_THAT(assembler_.Resume(), ElementsAre(Remains(1, 3, 3)));
  other.set_instance("i1");
  EXPECT_FALSE(assembler_.MustCompare(other)) << "both have the bytes";
  TF_ASSERT_OK(Add(ChunkOf().Header("g1", 1).Instance("i2").Result("b", "U8", {2, 3}, 6).Data(0, 3, "def")));
  EXPECT_TRUE(assembler_.MustCompare(other)) << "the first was not compared with the last bytes";
  TF_ASSERT_OK(assembler_.Complete());
  EXPECT_TRUE(assembler_.done());
}

TEST_F(AssemblerTest, ReceivedRangesHaveTheChecksumsOfTheirBytes) {
  TF_ASSERT_OK(Add(Announcement().Data(1, 2, "cd").Data(0, 0, "w")));
  TF_ASSERT_OK(Add(ChunkOf().Data(0, 1, "xy").Data(1, 4, "e")));
  EXPECT_THAT(Add(ChunkOf().Data(0, 3, "?").Damaged()), StatusIs(kDataLoss));
  const std::vector<ReceivedRange> received = assembler_.Received();
  ASSERT_EQ(received.size(), 2U);
  EXPECT_EQ(received[0].begin, 0);
  EXPECT_EQ(received[0].size_bytes, 3);
  EXPECT_EQ(received[0].crc32c, Crc32c(test::AsBytes("wxy"), 0));
  EXPECT_EQ(received[1].begin, 2);
  EXPECT_EQ(received[1].size_bytes, 3);
  EXPECT_EQ(received[1].crc32c, Crc32c(test::AsBytes("cde"), 0));
}

TEST_F(AssemblerTest, DeferredDestinationIsChosenWhenTheResultIsDescribed) {
  int chosen = 0;
  const Destination::Choose choose = [&](const ReadResult& result) -> absl::StatusOr<Destination> {
    ++chosen;
    EXPECT_EQ(result.size_bytes, 4);
    return Destination(a_);
  };
  // A range that is longer than the result.
  Assembler assembler({{.name = "a", .begin = 0, .end = 100, .deferred = &choose}}, "", "");
  TF_ASSERT_OK(assembler.Add(ChunkOf().Header("g1", 1).Result("a", "U8", {4}, 4).Data(0, 0, "wx").chunk()));
  EXPECT_THAT(assembler.Resume(), ElementsAre(Remains(0, 2, 2)));
  TF_ASSERT_OK(assembler.Add(ChunkOf().Header("g1", 1).Result("a", "U8", {4}, 4).Data(0, 2, "yz").chunk()));
  TF_ASSERT_OK(assembler.Complete());
  EXPECT_EQ(a_, "wxyz");
  EXPECT_EQ(chosen, 1);

  const Destination::Choose fails = [](const ReadResult&) -> absl::StatusOr<Destination> {
    return absl::ResourceExhaustedError("no memory");
  };
  Assembler failing({{.name = "a", .begin = 0, .end = 100, .deferred = &fails}}, "", "");
  EXPECT_THAT(failing.Add(ChunkOf().Header("g1", 1).Result("a", "U8", {4}, 4).chunk()),
              StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_TRUE(failing.destination_failed());
}

TEST_F(AssemblerTest, ConfirmationBringsNoData) {
  TF_ASSERT_OK(Add(Announcement().Data(0, 0, "wxyz").Data(1, 2, "cdef")));
  EXPECT_THAT(assembler_.Resume(), ElementsAre(Remains(0, 4, 0), Remains(1, 6, 0)));
  EXPECT_THAT(Add(Announcement().Data(0, 0, "wxyz")), StatusIs(kDataLoss));
}

TEST_F(AssemblerTest, StreamThatBrokeBeforeItsDataIsRequestedAgainOfTheSameGeneration) {
  TF_ASSERT_OK(Add(ChunkOf().Header("g1", 2).Result("a", "U8", {4}, 4)));
  EXPECT_THAT(assembler_.Resume(), ElementsAre(Remains(0, 0, 4), Remains(1, 2, 4)));
  EXPECT_THAT(Add(ChunkOf().Header("g2", 2)), StatusIs(absl::StatusCode::kAborted, HasSubstr("g2")));
}

TEST_F(AssemblerTest, AnotherDescriptionOrDigestThanBeforeIsRefused) {
  TF_ASSERT_OK(Add(Announcement().Data(0, 0, "wx")));
  assembler_.Resume();
  EXPECT_THAT(Add(ChunkOf().Header("g1", 2).Result("a", "I8", {4}, 4)),
              StatusIs(kDataLoss, HasSubstr("description of \"a\" changed")));

  Assembler file({{.name = "f", .is_file = true, .begin = 0, .end = 4, .memory = to_a_}}, "", "");
  TF_ASSERT_OK(file.Add(ChunkOf().Header("g1", 1).Digest("p1").Result("f", "", {4}, 4).Data(0, 0, "w").chunk()));
  file.Resume();
  EXPECT_THAT(file.Add(ChunkOf().Header("g1", 1).Digest("p2").chunk()),
              StatusIs(absl::StatusCode::kAborted, HasSubstr("p2")));
}

}  // namespace
}  // namespace tensorferry
