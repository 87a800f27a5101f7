// SPDX-License-Identifier: Apache-2.0
// Plans of one read or many, in the order of the file and in others.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <fstream>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "lib/files/unique_fd.h"
#include "lib/wire/proto_conversion.h"
#include "tests/server/stream/message_maker_fixture.h"

namespace tensorferry::server {
namespace {

using MessageMakerTest = MessageMakerFixture;

TEST_F(MessageMakerTest, TensorOfManyChunksIsExact) {
  Serve({{"t", Dtype::kU8, {300'001}}});
  StreamPlan plan(model_);
  TF_ASSERT_OK(AddRead(ReadOf("t"), plan));
  EXPECT_EQ(plan.header.size_bytes(), 300'001);
  EXPECT_EQ(Run(plan).at(0), data_);
}

TEST_F(MessageMakerTest, RunsOfWholeBlocksAreExactWhereverTheyBeginAndWhateverTheChunkSize) {
  Serve({{"a", Dtype::kU8, {random_.Between(1, 1 << 20)}},
         {"rows", Dtype::kU8, {3, (3 << 20) + 17}},
         {"z", Dtype::kU8, {random_.Between(0, 9'000)}}});
  const SliceSpec spec{.dimensions = {Range{}, Range{random_.Between(0, 100), std::nullopt, 1}}};
  for (const std::size_t chunk_bytes : std::initializer_list<std::size_t>{1 << 20, 1 << 20, 3 << 20, 64 << 10}) {
    chunk_bytes_ = chunk_bytes;
    StreamPlan plan(model_);
    v1::Read slice = ReadOf("rows", random_.Between(0, 2 << 20));
    *slice.mutable_slice() = wire::ToProto(spec);
    for (const v1::Read& read : {ReadOf("z"), ReadOf("rows"), slice, ReadOf("a"), ReadOf("rows", 1 << 20, 2 << 20)}) {
      TF_ASSERT_OK(AddRead(read, plan));
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

TEST_F(MessageMakerTest, BlocksAreCopiedOnceThenReferredTo) {
  constexpr std::int64_t kBlock = BlockCache::kBlockBytes;
  Serve({{"a", Dtype::kU8, {4 * kBlock}}});
  const std::shared_ptr<const MappedFile> file = model_->files()[0].file;
  const std::shared_ptr<BufferPool> buffers = BufferPool::Create(kBlock);
  const auto in_flight = std::make_shared<InFlightBytes>();
  // How many messages needed a buffer.
  const auto send = [&] {
    StreamPlan plan(model_);
    TF_EXPECT_OK(AddRead(ReadOf("a"), plan));
    MessageMaker source(std::move(plan), IoMode::kMmap, buffers, in_flight);
    const std::size_t before = buffers->taken();
    std::size_t copied = 0;
    while (!source.done()) {
      const absl::StatusOr<Message> message = source.Next();
      TF_EXPECT_OK(message.status());
      copied += buffers->taken() - before;
    }
    return copied;
  };
  // The tensor begins and ends within blocks; three are whole. The end is short, and copied every time.
  const std::size_t first = send();
  EXPECT_TRUE(file->blocks().HasChecksum(1));
  const std::size_t second = send();
  EXPECT_EQ(first - second, 3U);

  model_.reset();
  TF_ASSERT_OK_AND_ASSIGN(model_, Model::Open(directory_.Path("m.safetensors")));
  std::vector<std::shared_ptr<std::byte[]>> taken;
  for (int i = 0; i < 16; ++i) taken.push_back(buffers->Take());
  EXPECT_EQ(send(), second) << "there are enough in use";
}

TEST_F(MessageMakerTest, ReadsInAndOutOfTheOrderOfTheFileAreExact) {
  std::vector<test::TensorSpec> tensors;
  for (int i = 0; i < 300; ++i) {
    tensors.push_back({"t" + std::to_string(i), Dtype::kU8, {random_.Between(0, random_.OneIn(8) ? 300'000 : 5'000)}});
  }
  Serve(tensors);
  for (const std::size_t chunk_bytes : std::initializer_list<std::size_t>{1 << 20, 64 << 10}) {
    chunk_bytes_ = chunk_bytes;
    StreamPlan plan(model_);
    std::vector<std::string> expected;
    for (const test::TensorSpec& tensor : tensors) {
      if (random_.OneIn(10)) continue;  // a hole
      const std::string data = DataOf(tensor.name);
      v1::Read read = ReadOf(tensor.name);
      if (random_.OneIn(10)) read.set_read_offset(random_.Between(0, static_cast<std::int64_t>(data.size())));
      if (random_.OneIn(10)) read.set_read_limit(random_.Between(0, 6'000));
      const std::string part = data.substr(static_cast<std::size_t>(read.read_offset()));
      expected.push_back(read.has_read_limit() ? part.substr(0, static_cast<std::size_t>(read.read_limit())) : part);
      TF_ASSERT_OK(AddRead(read, plan));
    }
    EXPECT_TRUE(Run(plan) == expected);
  }
}

TEST_F(MessageMakerTest, PlanOfManySmallAndLargeReadsIsExact) {
  std::vector<test::TensorSpec> tensors;
  for (int i = 0; i < 500; ++i) {
    tensors.push_back({"t" + std::to_string(i),
                       Dtype::kU8,
                       {random_.OneIn(20) ? random_.Between(0, 200'000) : random_.Between(0, 300)}});
  }
  Serve(tensors);
  StreamPlan plan(model_);
  for (std::size_t i = tensors.size(); i-- > 0;) TF_ASSERT_OK(AddRead(ReadOf(tensors[i].name), plan));
  const std::vector<std::string> bytes = Run(plan);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    EXPECT_EQ(bytes[tensors.size() - 1 - i], DataOf(tensors[i].name)) << i;
  }
}

TEST_F(MessageMakerTest, ManyResultsAreAnnouncedOverSeveralMessages) {
  Serve({{std::string(2000, 'n'), Dtype::kU8, {3}}});
  StreamPlan plan(model_);
  for (int i = 0; i < 1000; ++i) TF_ASSERT_OK(AddRead(ReadOf(tensors_[0].name), plan));
  for (const std::string& bytes : Run(plan)) EXPECT_EQ(bytes, data_);
}

TEST_F(MessageMakerTest, EmptyResultIsOneMessage) {
  Serve({{"t", Dtype::kF32, {0, 5}}});
  StreamPlan plan(model_);
  TF_ASSERT_OK(AddRead(ReadOf("t"), plan));
  EXPECT_EQ(Run(plan).at(0), "");
}

// Streams that may be answered from the page cache.
class AnswerFromCacheTest : public MessageMakerFixture {
 protected:
  MessageMaker MakerOf(StreamPlan plan, IoMode io = IoMode::kMmap) {
    return {std::move(plan), io, BufferPool::Create(1 << 20), in_flight_};
  }
  // A read of every second column.
  static v1::Read ReadOfColumns(const std::string& tensor) {
    v1::Read read = ReadOf(tensor);
    *read.mutable_slice() = wire::ToProto(SliceSpec{.dimensions = {Range{}, Range{0, std::nullopt, 2}}});
    return read;
  }

  std::shared_ptr<InFlightBytes> in_flight_ = std::make_shared<InFlightBytes>();
};

TEST_F(AnswerFromCacheTest, SmallStreamIsOneMessageOfCopiesThatConfirmsItself) {
  Serve({{"a", Dtype::kU8, {30'000}}, {"b", Dtype::kU8, {2, 8}}, {"c", Dtype::kU8, {10}}});
  StreamPlan plan(model_);
  for (const v1::Read& read : {ReadOf("c"), ReadOfColumns("b"), ReadOf("a", 5)}) TF_ASSERT_OK(AddRead(read, plan));
  MessageMaker maker = MakerOf(plan);
  std::optional<Message> message = maker.AnswerFromCache();
  ASSERT_TRUE(message.has_value());
  EXPECT_TRUE(maker.done());
  EXPECT_EQ(message->data_bytes, 29'995 + 8 + 10);
  EXPECT_EQ(in_flight_->value(), message->data_bytes);
  // Bytes that change after the answer was made are not in it.
  const std::string expected_end = DataOf("c");
  std::fstream(directory_.Path("m.safetensors"), std::ios::in | std::ios::out | std::ios::ate).seekp(-10, std::ios::end)
      << "0123456789";
  TF_ASSERT_OK_AND_ASSIGN(const wire::DecodedChunk chunk, wire::DecodeChunk(message->bytes));
  TF_EXPECT_OK(wire::VerifyChecksum(chunk));
  EXPECT_TRUE(chunk.head->has_header());
  EXPECT_EQ(chunk.head->results_size(), 3);
  EXPECT_EQ(chunk.head->confirmed_size_bytes(), message->data_bytes);
  std::string data;
  for (const auto piece : chunk.data) data += test::AsString(piece);
  EXPECT_TRUE(data.starts_with(data_.substr(5, 29'995)));
  EXPECT_TRUE(data.ends_with(expected_end));
}

TEST_F(AnswerFromCacheTest, OtherStreamsAreMadeAsUsual) {
  Serve({{"large", Dtype::kU8, {(64 << 10) + 1}}, {"runs", Dtype::kU8, {9, 8}}, {"small", Dtype::kU8, {100}}});
  StreamPlan large(model_);
  TF_ASSERT_OK(AddRead(ReadOf("large"), large));
  StreamPlan runs(model_);
  TF_ASSERT_OK(AddRead(ReadOfColumns("runs"), runs));
  StreamPlan many(model_);
  for (int i = 0; i < 65; ++i) TF_ASSERT_OK(AddRead(ReadOf("small"), many));
  StreamPlan checksums(model_);
  TF_ASSERT_OK(AddRead(ReadOf("small"), checksums));
  checksums.checksums_only = true;
  StreamPlan small(model_);
  TF_ASSERT_OK(AddRead(ReadOf("small"), small));
  EXPECT_FALSE(MakerOf(large).AnswerFromCache());
  EXPECT_FALSE(MakerOf(runs).AnswerFromCache());
  EXPECT_FALSE(MakerOf(many).AnswerFromCache());
  EXPECT_FALSE(MakerOf(checksums).AnswerFromCache());
  EXPECT_FALSE(MakerOf(small, IoMode::kPread).AnswerFromCache());
  EXPECT_TRUE(MakerOf(small).AnswerFromCache());
}

TEST_F(AnswerFromCacheTest, StreamThatIsNotInThePageCacheIsMadeAsUsual) {
  Serve({{"a", Dtype::kU8, {1 << 20}}, {"b", Dtype::kU8, {5'000}}});
  model_.reset();
  const UniqueFd fd(::open(directory_.Path("m.safetensors").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(::fsync(fd.get()), 0);
  ASSERT_EQ(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
  TF_ASSERT_OK_AND_ASSIGN(model_, Model::Open(directory_.Path("m.safetensors")));
  if (!model_->files()[0].file->blocks().WouldBlock(600'000)) GTEST_SKIP() << "the files here stay in memory";
  StreamPlan plan(model_);
  TF_ASSERT_OK(AddRead(ReadOf("a", 600'000, 5'000), plan));
  ASSERT_EQ(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
  MessageMaker maker = MakerOf(plan);
  const auto released = std::make_shared<ReleasedWindows>();
  ASSERT_FALSE(maker.AnswerFromCache());
  EXPECT_FALSE(maker.started() || maker.done() || maker.NextIsReady());
  EXPECT_EQ(in_flight_->value(), 0);
  maker.TrackWindows(released);
  {
    absl::StatusOr<Message> message = maker.Next();
    TF_ASSERT_OK(message);
    EXPECT_TRUE(maker.done());
    TF_ASSERT_OK_AND_ASSIGN(const wire::DecodedChunk chunk, wire::DecodeChunk(message->bytes));
    EXPECT_EQ(chunk.head->segments_size(), 1);
    EXPECT_EQ(chunk.data_size_bytes, 5'000);
    EXPECT_FALSE(chunk.head->has_confirmed_size_bytes());
    TF_EXPECT_OK(wire::VerifyChecksum(chunk));
  }
  ExpectWindows(released->Take(), 5'000);
}

}  // namespace
}  // namespace tensorferry::server
