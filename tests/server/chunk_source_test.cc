// SPDX-License-Identifier: Apache-2.0
// What a plan turns into, taken apart again and held against the files.
#include "server/chunk_source.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "lib/wire/chunk_decoder.h"
#include "lib/wire/proto_conversion.h"
#include "server/stream_plan.h"
#include "tests/testing/random.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/slice_oracle.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry::server {
namespace {

class ChunkSourceTest : public ::testing::Test {
 protected:
  // Serves one file with these tensors, filled with random bytes.
  void Serve(const std::vector<test::TensorSpec>& tensors) {
    tensors_ = tensors;
    std::int64_t size = 0;
    for (const test::TensorSpec& tensor : tensors) size += test::SizeBytes(tensor);
    data_ = random_.Bytes(static_cast<std::size_t>(size));
    directory_.Write("m.safetensors", test::SafetensorsBytes(test::HeaderJson(tensors), data_));
    TF_ASSERT_OK_AND_ASSIGN(model_, Model::Open(directory_.Path("m.safetensors")));
  }

  // The bytes of a tensor.
  std::string DataOf(const std::string& name) const {
    const Model::TensorRef tensor = model_->tensor(*model_->Find(name));
    return test::AsString(tensor.file->tensors->data(tensor.view));
  }

  // Runs a plan to its end, from the mapping and with pread; returns each read's bytes.
  std::vector<std::string> Run(const StreamPlan& plan) {
    const std::vector<std::string> bytes = Run(plan, IoMode::kMmap);
    EXPECT_TRUE(Run(plan, IoMode::kPread) == bytes);
    return bytes;
  }

  std::vector<std::string> Run(StreamPlan plan, IoMode io) {
    plan.header.set_generation(model_->generation());
    std::vector<std::string> bytes(plan.reads.size());
    std::vector<std::int64_t> next;
    for (const PlannedRead& read : plan.reads) next.push_back(read.result_begin);
    auto in_flight = std::make_shared<int>();
    const std::weak_ptr<int> watch = in_flight;
    const std::size_t reads = plan.reads.size();
    const auto pinned = std::make_shared<PinnedBytes>();
    ChunkSource source(std::move(plan), io, BufferPool::Create(chunk_bytes_), pinned, std::move(in_flight));
    bool first = true;
    std::size_t results = 0;
    do {
      absl::StatusOr<ChunkSource::Message> message = source.Next();
      EXPECT_TRUE(message.ok()) << message.status();
      const absl::StatusOr<wire::DecodedChunk> chunk = wire::DecodeChunk(message->bytes);
      EXPECT_TRUE(chunk.ok()) << chunk.status();
      EXPECT_EQ(message->data_bytes, chunk->data_size_bytes);
      EXPECT_EQ(chunk->head.has_header(), std::exchange(first, false));
      EXPECT_EQ(pinned->value(), chunk->data_size_bytes);
      results += static_cast<std::size_t>(chunk->head.results_size());
      EXPECT_TRUE(chunk->data_size_bytes == 0 || results == reads) << "data before all results";
      EXPECT_LE(chunk->data_size_bytes, static_cast<std::int64_t>(chunk_bytes_));
      std::string data;
      for (const auto piece : chunk->data) data += test::AsString(piece);
      std::size_t position = 0;
      for (const v1::Segment& segment : chunk->head.segments()) {
        const auto read = static_cast<std::size_t>(segment.read());
        EXPECT_EQ(segment.result_offset(), next.at(read)) << "the segments of a read come in order";
        next[read] += segment.size_bytes();
        bytes[read] += data.substr(position, static_cast<std::size_t>(segment.size_bytes()));
        position += static_cast<std::size_t>(segment.size_bytes());
      }
    } while (!source.done());
    EXPECT_EQ(results, reads);
    EXPECT_TRUE(watch.expired()) << "nothing is in flight once the messages are gone";
    EXPECT_EQ(pinned->value(), 0);
    return bytes;
  }

  std::size_t chunk_bytes_ = 64 << 10;
  test::Random random_;
  test::TempDir directory_;
  std::vector<test::TensorSpec> tensors_;
  std::string data_;
  std::shared_ptr<const Model> model_;
};

v1::Read ReadOf(const std::string& tensor, std::int64_t offset = 0, std::int64_t limit = 0) {
  v1::Read read;
  read.set_tensor(tensor);
  read.set_read_offset(offset);
  read.set_read_limit(limit);
  return read;
}

TEST_F(ChunkSourceTest, TensorOfManyChunksIsExact) {
  Serve({{"t", Dtype::kU8, {300'001}}});
  StreamPlan plan;
  TF_ASSERT_OK(AddRead(*model_, ReadOf("t"), plan));
  EXPECT_EQ(plan.header.size_bytes(), 300'001);
  EXPECT_EQ(Run(plan).at(0), data_);
}

TEST_F(ChunkSourceTest, RunsOfWholeBlocksAreExactWhereverTheyBeginAndWhateverTheChunkSize) {
  Serve({{"a", Dtype::kU8, {random_.Between(1, 1 << 20)}},
         {"rows", Dtype::kU8, {3, (3 << 20) + 17}},
         {"z", Dtype::kU8, {random_.Between(0, 9'000)}}});
  const SliceSpec spec{.dimensions = {Range{}, Range{random_.Between(0, 100), std::nullopt, 1}}};
  for (const std::size_t chunk_bytes : std::initializer_list<std::size_t>{1 << 20, 1 << 20, 3 << 20, 64 << 10}) {
    chunk_bytes_ = chunk_bytes;
    StreamPlan plan;
    v1::Read slice = ReadOf("rows", random_.Between(0, 2 << 20));
    *slice.mutable_slice() = wire::ToProto(spec);
    for (const v1::Read& read : {ReadOf("z"), ReadOf("rows"), slice, ReadOf("a"), ReadOf("rows", 1 << 20, 2 << 20)}) {
      TF_ASSERT_OK(AddRead(*model_, read, plan));
    }
    const std::vector<std::string> bytes = Run(plan);
    EXPECT_TRUE(bytes[0] == DataOf("z"));
    EXPECT_TRUE(bytes[1] == DataOf("rows"));
    std::string sliced;
    for (std::size_t row = 0; row < 3; ++row) {
      const auto start = static_cast<std::size_t>(*std::get<Range>(spec.dimensions[1]).start);
      sliced += DataOf("rows").substr(row * ((3 << 20) + 17) + start, (3 << 20) + 17 - start);
    }
    EXPECT_TRUE(bytes[2] == sliced.substr(static_cast<std::size_t>(slice.read_offset())));
    EXPECT_TRUE(bytes[3] == DataOf("a"));
    EXPECT_TRUE(bytes[4] == DataOf("rows").substr(1 << 20, 2 << 20));
  }
}

TEST_F(ChunkSourceTest, BlockThatChangedSinceItsChecksumWasTakenIsNoticedByTheReceiver) {
  std::vector<test::TensorSpec> many;
  for (int i = 0; i < 1024; ++i) many.push_back({"t" + std::to_string(i), Dtype::kU8, {4 << 10}});
  for (const std::vector<test::TensorSpec>& tensors : {{{"t", Dtype::kU8, {4 << 20}}}, many}) {
    Serve(tensors);
    chunk_bytes_ = 1 << 20;
    const auto messages_with_mismatch = [&] {
      StreamPlan plan;
      for (const test::TensorSpec& tensor : tensors) EXPECT_TRUE(AddRead(*model_, ReadOf(tensor.name), plan).ok());
      ChunkSource source(std::move(plan), IoMode::kMmap, BufferPool::Create(chunk_bytes_),
                         std::make_shared<PinnedBytes>(), nullptr);
      int mismatches = 0;
      while (!source.done()) {
        absl::StatusOr<ChunkSource::Message> message = source.Next();
        if (!message.ok() || !wire::DecodeChunk(message->bytes).ok()) ++mismatches;
      }
      return mismatches;
    };
    EXPECT_EQ(messages_with_mismatch(), 0);
    std::fstream file(directory_.Path("m.safetensors"));
    file.seekp(2 << 20);
    file.put(static_cast<char>(test::AsString(model_->files()[0].file->bytes()).at(2 << 20) + 1));
    file.close();
    EXPECT_EQ(messages_with_mismatch(), 1) << tensors.size() << " tensors";
  }
}

TEST_F(ChunkSourceTest, ReadsInAndOutOfTheOrderOfTheFileAreExact) {
  std::vector<test::TensorSpec> tensors;
  for (int i = 0; i < 300; ++i) {
    tensors.push_back({"t" + std::to_string(i), Dtype::kU8, {random_.Between(0, random_.OneIn(8) ? 300'000 : 5'000)}});
  }
  Serve(tensors);
  for (const std::size_t chunk_bytes : std::initializer_list<std::size_t>{1 << 20, 64 << 10}) {
    chunk_bytes_ = chunk_bytes;
    StreamPlan plan;
    std::vector<std::string> expected;
    for (const test::TensorSpec& tensor : tensors) {
      if (random_.OneIn(10)) continue;  // a hole
      const std::string data = DataOf(tensor.name);
      v1::Read read = ReadOf(tensor.name);
      if (random_.OneIn(10)) read.set_read_offset(random_.Between(0, static_cast<std::int64_t>(data.size())));
      if (random_.OneIn(10)) read.set_read_limit(random_.Between(1, 6'000));
      const std::string part = data.substr(static_cast<std::size_t>(read.read_offset()));
      expected.push_back(read.read_limit() == 0 ? part : part.substr(0, static_cast<std::size_t>(read.read_limit())));
      TF_ASSERT_OK(AddRead(*model_, read, plan));
    }
    EXPECT_TRUE(Run(plan) == expected);
  }
}

TEST_F(ChunkSourceTest, EveryOffsetAndLimitGivesThatPart) {
  Serve({{"t", Dtype::kI16, {40, 50}}});
  SliceSpec spec{.dimensions = {Range{1, 39, 3}, Range{5, 17, 1}}};
  const std::string all = [&] {
    StreamPlan plan;
    v1::Read read = ReadOf("t");
    *read.mutable_slice() = wire::ToProto(spec);
    EXPECT_TRUE(AddRead(*model_, read, plan).ok());
    return Run(plan).at(0);
  }();
  ASSERT_EQ(all.size(), 13U * 12 * 2);
  for (std::size_t offset = 0; offset <= all.size(); ++offset) {
    const auto limit = random_.Between(0, 100);
    StreamPlan plan;
    v1::Read read = ReadOf("t", static_cast<std::int64_t>(offset), limit);
    *read.mutable_slice() = wire::ToProto(spec);
    TF_ASSERT_OK(AddRead(*model_, read, plan));
    EXPECT_EQ(Run(plan).at(0), all.substr(offset, limit == 0 ? std::string::npos : static_cast<std::size_t>(limit)));
  }
}

TEST_F(ChunkSourceTest, PlanOfManySmallAndLargeReadsIsExact) {
  std::vector<test::TensorSpec> tensors;
  for (int i = 0; i < 500; ++i) {
    tensors.push_back({"t" + std::to_string(i),
                       Dtype::kU8,
                       {random_.OneIn(20) ? random_.Between(0, 200'000) : random_.Between(0, 300)}});
  }
  Serve(tensors);
  StreamPlan plan;
  for (std::size_t i = tensors.size(); i-- > 0;) TF_ASSERT_OK(AddRead(*model_, ReadOf(tensors[i].name), plan));
  const std::vector<std::string> bytes = Run(plan);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(bytes[tensors.size() - 1 - i], DataOf(tensors[i].name)) << i;
  }
}

TEST_F(ChunkSourceTest, ManyResultsAreAnnouncedOverSeveralMessages) {
  Serve({{std::string(2000, 'n'), Dtype::kU8, {3}}});
  StreamPlan plan;
  for (int i = 0; i < 1000; ++i) TF_ASSERT_OK(AddRead(*model_, ReadOf(tensors_[0].name), plan));
  for (const std::string& bytes : Run(plan)) EXPECT_EQ(bytes, data_);
}

TEST_F(ChunkSourceTest, EmptyResultIsOneMessage) {
  Serve({{"t", Dtype::kF32, {0, 5}}});
  StreamPlan plan;
  TF_ASSERT_OK(AddRead(*model_, ReadOf("t"), plan));
  EXPECT_EQ(Run(plan).at(0), "");
}

TEST_F(ChunkSourceTest, RandomSlicesOfAllDtypesEqualBruteForce) {
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
    StreamPlan plan;
    const absl::Status status = AddRead(*model_, read, plan);
    const auto expected = test::SliceByBruteForce(spec, dtype, tensors_[0].shape);
    ASSERT_EQ(status.ok(), expected.has_value()) << status << " " << spec.ToString();
    if (!expected) continue;
    std::string bytes;
    for (const std::int64_t source : expected->source_bytes) bytes += data_[static_cast<std::size_t>(source)];
    EXPECT_EQ(Run(plan).at(0), bytes) << DtypeName(dtype) << " " << spec.ToString();
  }
}

TEST_F(ChunkSourceTest, FileThatShrankIsAnErrorWithPread) {
  Serve({{"t", Dtype::kU8, {1000, 300}}});
  for (const bool short_runs : {false, true}) {
    v1::Read read = ReadOf("t");
    if (short_runs) *read.mutable_slice() = wire::ToProto(SliceSpec{.dimensions = {Range{}, Range{0, 10, 1}}});
    StreamPlan plan;
    TF_ASSERT_OK(AddRead(*model_, read, plan));
    std::filesystem::resize_file(directory_.Path("m.safetensors"), 200'000);
    ChunkSource source(std::move(plan), IoMode::kPread, BufferPool::Create(1 << 20), std::make_shared<PinnedBytes>(),
                       nullptr);
    EXPECT_THAT(source.Next(), test::StatusIs(absl::StatusCode::kDataLoss, ::testing::HasSubstr("m.safetensors")));
  }
}

TEST_F(ChunkSourceTest, BadReadsAreNamed) {
  Serve({{"t", Dtype::kU8, {10}}});
  StreamPlan plan;
  using ::testing::HasSubstr;
  EXPECT_THAT(AddRead(*model_, ReadOf("u"), plan), test::StatusIs(absl::StatusCode::kNotFound, HasSubstr("\"u\"")));
  EXPECT_THAT(AddRead(*model_, ReadOf("t", 11), plan),
              test::StatusIs(absl::StatusCode::kOutOfRange, HasSubstr("read_offset 11 is behind the result of 10")));
  EXPECT_THAT(AddRead(*model_, ReadOf("t", -1), plan), test::StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(AddRead(*model_, ReadOf("t", 0, -1), plan), test::StatusIs(absl::StatusCode::kInvalidArgument));
  v1::Read read = ReadOf("t");
  read.mutable_slice()->add_dimensions();
  EXPECT_THAT(AddRead(*model_, read, plan),
              test::StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("neither an index nor a range")));
  EXPECT_TRUE(plan.reads.empty());
}

}  // namespace
}  // namespace tensorferry::server
