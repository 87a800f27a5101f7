// SPDX-License-Identifier: Apache-2.0
#include "server/stream/read_ahead.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "lib/files/unique_fd.h"
#include "tests/server/stream/message_maker_fixture.h"

namespace tensorferry::server {
namespace {

using ReadAheadTest = MessageMakerFixture;

TEST_F(ReadAheadTest, DataThatFollowsTheNextMessageIsReadAheadOnceAndNotFar) {
  constexpr std::int64_t kChunkBytes = BlockCache::kBlockBytes;
  Serve({{"a", Dtype::kU8, {20 * kChunkBytes + 5}}, {"b", Dtype::kU8, {4 * kChunkBytes}}});
  // Mapped pages cannot be dropped from the page cache.
  model_.reset();
  const UniqueFd fd(::open(directory_.Path("m.safetensors").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(::fsync(fd.get()), 0);
  ASSERT_EQ(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
  TF_ASSERT_OK_AND_ASSIGN(model_, Model::Open(directory_.Path("m.safetensors")));
  const std::shared_ptr<const MappedFile> file = model_->files()[0].file;
  if (!file->blocks().WouldBlock(file->size_bytes() / 2))
    GTEST_SKIP() << "the files of this file system stay in memory";
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
    MessagePacker packer(std::move(plan), {.chunk_bytes = kChunkBytes});
    ExtentLoader loader({.aligns_to_blocks = true}, BufferPool::Create(kChunkBytes), std::make_shared<InFlightBytes>());
    ReadAhead read_ahead;
    int ranges = 0;
    while (!packer.done()) {
      for (; const std::optional<FileRange> range = read_ahead.Next(packer, loader); ++ranges) {
        EXPECT_EQ(range->file, file);
        EXPECT_GE(range->begin, ahead) << "twice, or in the next message";
        EXPECT_LE(range->size_bytes, kChunkBytes);
        const bool is_block = range->begin % kChunkBytes == 0 && range->size_bytes == kChunkBytes;
        EXPECT_EQ(range->to_mapping, pages == Pages::kDropped || !is_block) << "blocks are read once";
        ahead = range->begin + range->size_bytes;
        EXPECT_LE(ahead, next + 9 * kChunkBytes);
      }
      if (!packer.started()) {
        EXPECT_LE(ranges, 8);
      }
      const PackedMessage message = packer.Pack();
      TF_ASSERT_OK(loader.Load(message, ExtentLoader::Policy::kWaitForDisk, nullptr));
      next += message.size_bytes;
    }
    EXPECT_EQ(ranges > 0, pages != Pages::kInThePageCache) << "only what is not in the page cache";
  }
}

TEST_F(ReadAheadTest, PlanForChecksumsAndPreadNeedNone) {
  constexpr std::int64_t kChunkBytes = BlockCache::kBlockBytes;
  Serve({{"a", Dtype::kU8, {20 * kChunkBytes + 5}}});
  for (const bool checksums_only : {false, true}) {
    StreamPlan plan(model_);
    TF_ASSERT_OK(AddRead(ReadOf("a"), plan));
    plan.checksums_only = checksums_only;
    const MessagePacker packer(std::move(plan), {.chunk_bytes = kChunkBytes});
    const ExtentLoader loader({.io = checksums_only ? IoMode::kMmap : IoMode::kPread, .checksums_only = checksums_only},
                              BufferPool::Create(kChunkBytes), std::make_shared<InFlightBytes>());
    EXPECT_FALSE(ReadAhead().Next(packer, loader));
  }
}

}  // namespace
}  // namespace tensorferry::server
