// SPDX-License-Identifier: Apache-2.0
// Plans of one read or many, in the order of the file and in others.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "lib/wire/proto_conversion.h"
#include "tests/server/stream/chunk_source_fixture.h"

namespace tensorferry::server {
namespace {

using ChunkSourceTest = ChunkSourceFixture;

TEST_F(ChunkSourceTest, TensorOfManyChunksIsExact) {
  Serve({{"t", Dtype::kU8, {300'001}}});
  StreamPlan plan(model_);
  TF_ASSERT_OK(AddRead(ReadOf("t"), plan));
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

TEST_F(ChunkSourceTest, WhatFollowsTheNextMessageIsReadAheadOnceAndNotFar) {
  constexpr std::int64_t kChunkBytes = MappedFile::kBlockBytes;
  Serve({{"a", Dtype::kU8, {20 * kChunkBytes + 5}}, {"b", Dtype::kU8, {4 * kChunkBytes}}});
  // What is mapped cannot be dropped.
  model_.reset();
  const UniqueFd fd(::open(directory_.Path("m.safetensors").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(::fsync(fd.get()), 0);
  ASSERT_EQ(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
  TF_ASSERT_OK_AND_ASSIGN(model_, Model::Open(directory_.Path("m.safetensors")));
  const std::shared_ptr<const MappedFile> file = model_->files()[0].file;
  if (!file->MustWaitFor(file->size_bytes() / 2)) GTEST_SKIP() << "the files of this file system stay in memory";
  enum class Pages { kNeverRead, kInThePageCache, kDropped };
  for (const Pages pages : {Pages::kNeverRead, Pages::kInThePageCache, Pages::kDropped}) {
    if (pages == Pages::kDropped) {
      void* mapping = const_cast<std::byte*>(file->bytes().data());
      ASSERT_EQ(::madvise(mapping, file->bytes().size(), MADV_DONTNEED), 0);
      ASSERT_EQ(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
    }
    StreamPlan plan(model_);
    TF_ASSERT_OK(AddRead(ReadOf("a"), plan));
    TF_ASSERT_OK(AddRead(ReadOf("b"), plan));
    std::int64_t next = plan.reads[0].source_offset;
    std::int64_t ahead = next + 1;
    ChunkSource source(std::move(plan), IoMode::kMmap, BufferPool::Create(kChunkBytes),
                       std::make_shared<InFlightBytes>(), nullptr);
    int ranges = 0;
    while (!source.done()) {
      for (; const std::optional<ChunkSource::FileRange> range = source.NextAhead(); ++ranges) {
        EXPECT_EQ(range->file, file);
        EXPECT_GE(range->begin, ahead) << "twice, or in the next message";
        EXPECT_LE(range->size_bytes, kChunkBytes);
        const bool is_block = range->begin % kChunkBytes == 0 && range->size_bytes == kChunkBytes;
        EXPECT_EQ(range->to_mapping, pages == Pages::kDropped || !is_block) << "blocks are read once";
        ahead = range->begin + range->size_bytes;
        EXPECT_LE(ahead, next + 9 * kChunkBytes);
      }
      if (!source.started()) {
        EXPECT_LE(ranges, 8);
      }
      const absl::StatusOr<ChunkSource::Message> message = source.Next();
      TF_ASSERT_OK(message.status());
      next += message->data_bytes;
    }
    EXPECT_EQ(ranges > 0, pages != Pages::kInThePageCache) << "only what is not in the page cache";
  }
}

TEST_F(ChunkSourceTest, BlocksAreCopiedOnceThenReferredTo) {
  constexpr std::int64_t kBlock = MappedFile::kBlockBytes;
  Serve({{"a", Dtype::kU8, {4 * kBlock}}});
  const std::shared_ptr<const MappedFile> file = model_->files()[0].file;
  const std::shared_ptr<BufferPool> buffers = BufferPool::Create(kBlock);
  const auto in_flight = std::make_shared<InFlightBytes>();
  // How many messages needed a buffer.
  const auto send = [&] {
    StreamPlan plan(model_);
    TF_EXPECT_OK(AddRead(ReadOf("a"), plan));
    ChunkSource source(std::move(plan), IoMode::kMmap, buffers, in_flight, nullptr);
    const std::size_t before = buffers->taken();
    std::size_t copied = 0;
    while (!source.done()) {
      const absl::StatusOr<ChunkSource::Message> message = source.Next();
      TF_EXPECT_OK(message.status());
      copied += buffers->taken() - before;
    }
    return copied;
  };
  // The tensor begins and ends within blocks; three are whole. The end is short, and copied every time.
  const std::size_t first = send();
  EXPECT_TRUE(file->HasBlockChecksum(1));
  const std::size_t second = send();
  EXPECT_EQ(first - second, 3U);

  model_.reset();
  TF_ASSERT_OK_AND_ASSIGN(model_, Model::Open(directory_.Path("m.safetensors")));
  std::vector<std::shared_ptr<std::byte[]>> taken;
  for (int i = 0; i < 16; ++i) taken.push_back(buffers->Take());
  EXPECT_EQ(send(), second) << "there are enough in use";
}

TEST_F(ChunkSourceTest, ReadsInAndOutOfTheOrderOfTheFileAreExact) {
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

TEST_F(ChunkSourceTest, PlanOfManySmallAndLargeReadsIsExact) {
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

TEST_F(ChunkSourceTest, ManyResultsAreAnnouncedOverSeveralMessages) {
  Serve({{std::string(2000, 'n'), Dtype::kU8, {3}}});
  StreamPlan plan(model_);
  for (int i = 0; i < 1000; ++i) TF_ASSERT_OK(AddRead(ReadOf(tensors_[0].name), plan));
  for (const std::string& bytes : Run(plan)) EXPECT_EQ(bytes, data_);
}

TEST_F(ChunkSourceTest, EmptyResultIsOneMessage) {
  Serve({{"t", Dtype::kF32, {0, 5}}});
  StreamPlan plan(model_);
  TF_ASSERT_OK(AddRead(ReadOf("t"), plan));
  EXPECT_EQ(Run(plan).at(0), "");
}

}  // namespace
}  // namespace tensorferry::server
