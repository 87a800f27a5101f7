// SPDX-License-Identifier: Apache-2.0
// Plans for checksums: their places, their values, and where the bytes for them come from.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/checksum/crc32c.h"
#include "lib/files/unique_fd.h"
#include "lib/wire/proto_conversion.h"
#include "tests/server/stream/message_maker_fixture.h"

namespace tensorferry::server {
namespace {

using ::testing::HasSubstr;

constexpr std::int64_t kBlock = BlockCache::kBlockBytes;

// A message of a stream of checksums.
struct Checksum {
  std::vector<Place> places;
  std::uint32_t crc = 0;
  friend bool operator==(const Checksum&, const Checksum&) = default;
};

class MessageMakerChecksumTest : public MessageMakerFixture {
 protected:
  MessageMakerChecksumTest() { chunk_bytes_ = kBlock; }

  const MappedFile& File() const { return *model_->files().front().file; }
  std::string Path() const { return File().path(); }
  std::string FileBytes() const { return test::AsString(File().bytes()); }

  // A plan of reads that cover whole blocks, parts of blocks, short runs and nothing.
  StreamPlan PlanOfReads() {
    StreamPlan plan(model_);
    const SliceSpec rows{.dimensions = {Range{}, Range{7, std::nullopt, 1}}};
    v1::Read long_runs = ReadOf("rows");
    *long_runs.mutable_slice() = wire::ToProto(rows);
    const SliceSpec columns{.dimensions = {Range{}, Range{0, std::nullopt, 1000}}};
    v1::Read short_runs = ReadOf("rows", 3);
    *short_runs.mutable_slice() = wire::ToProto(columns);
    for (const v1::Read& read : {ReadOf("z"), long_runs, ReadOf("a", 5), ReadOf("a", 0, 0), short_runs, ReadOf("rows"),
                                 ReadOf("rows", random_.Between(0, 2 * kBlock), random_.Between(1, 2 * kBlock))}) {
      EXPECT_TRUE(AddRead(read, plan).ok());
    }
    return plan;
  }

  // The same plan of the file as it is opened again: none of its blocks was read.
  StreamPlan OfNewOpening(StreamPlan plan) {
    const absl::StatusOr<std::shared_ptr<const Model>> model = Model::Open(Path());
    EXPECT_TRUE(model.ok()) << model.status();
    model_ = *model;
    for (PlannedRead& read : plan.reads) read.file = model_->files().front().file;
    return plan;
  }

  void ServeReads() {
    Serve({{"a", Dtype::kU8, {random_.Between(5, kBlock)}},
           {"rows", Dtype::kU8, {2, 3 * kBlock + random_.Between(8, 100)}},
           {"z", Dtype::kU8, {9'000}}});
  }

  // The number of pages of the file's mapping that were touched, or brought in.
  std::optional<std::int64_t> PagesInMapping() const {
    const UniqueFd pagemap(::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
    const auto page_bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    std::vector<std::uint64_t> pages((File().bytes().size() + page_bytes - 1) / page_bytes);
    const std::size_t first = reinterpret_cast<std::uintptr_t>(File().bytes().data()) / page_bytes;
    const std::size_t size = pages.size() * sizeof(std::uint64_t);
    if (::pread(pagemap.get(), pages.data(), size, static_cast<off_t>(first * sizeof(std::uint64_t))) !=
        static_cast<ssize_t>(size)) {
      return std::nullopt;
    }
    return std::ranges::count_if(pages, [](std::uint64_t page) { return page >> 63 != 0; });
  }

  // The messages of a plan for checksums that have one.
  absl::StatusOr<std::vector<Checksum>> ChecksumsOf(StreamPlan plan, std::shared_ptr<BufferPool> buffers = nullptr) {
    plan.checksums_only = true;
    if (buffers == nullptr) buffers = BufferPool::Create(chunk_bytes_);
    MessageMaker source(std::move(plan), IoMode::kMmap, buffers, std::make_shared<InFlightBytes>());
    std::vector<Checksum> checksums;
    do {
      absl::StatusOr<Message> message = source.Next();
      if (!message.ok()) return message.status();
      const absl::StatusOr<wire::DecodedChunk> chunk =
          wire::DecodeChunk(message->bytes, wire::StreamContent::kChecksums);
      if (!chunk.ok()) return chunk.status();
      if (chunk->head->segments_size() > 0) checksums.push_back({PlacesOf(*chunk), chunk->head->crc32c()});
    } while (!source.done());
    return checksums;
  }

  // The messages of a plan for data, with what should be their checksums.
  std::vector<Checksum> ChunksOf(StreamPlan plan, IoMode io) {
    MessageMaker source(std::move(plan), io, BufferPool::Create(chunk_bytes_), std::make_shared<InFlightBytes>());
    std::vector<Checksum> chunks;
    do {
      absl::StatusOr<Message> message = source.Next();
      EXPECT_TRUE(message.ok()) << message.status();
      const absl::StatusOr<wire::DecodedChunk> chunk = wire::DecodeChunk(message->bytes);
      EXPECT_TRUE(chunk.ok() && wire::VerifyChecksum(*chunk).ok());
      if (chunk->data_size_bytes > 0) chunks.push_back({PlacesOf(*chunk), chunk->head->crc32c()});
    } while (!source.done());
    return chunks;
  }

  StreamPlan PlanOfFile(const std::string& name, std::int64_t offset = 0,
                        std::optional<std::int64_t> limit = std::nullopt) {
    v1::GetFileRequest request;
    if (limit) request.set_read_limit(*limit);
    StreamPlan plan(model_);
    EXPECT_TRUE(AddFile(name, offset, LimitOf(request), plan).ok());
    return plan;
  }

  // The checksum of each block of the bytes [begin, end) of a file, whose ends may lie inside blocks.
  static std::vector<Checksum> BlocksOf(const std::string& bytes, std::int64_t begin, std::int64_t end) {
    std::vector<Checksum> blocks;
    for (std::int64_t block_end = 0; begin < end; begin = block_end) {
      block_end = std::min((begin / kBlock + 1) * kBlock, end);
      const std::string block =
          bytes.substr(static_cast<std::size_t>(begin), static_cast<std::size_t>(block_end - begin));
      blocks.push_back({{Place{0, begin, block_end - begin}}, Crc32c(test::AsBytes(block))});
    }
    return blocks;
  }
};

TEST_F(MessageMakerChecksumTest, PlanGivesTheMessagesOfItsDataWithoutTheData) {
  for (const std::size_t chunk_bytes : std::initializer_list<std::size_t>{1 << 20, 4 << 10, 64 << 10, 3 << 20}) {
    ServeReads();
    chunk_bytes_ = chunk_bytes;
    const StreamPlan plan = PlanOfReads();
    const std::vector<Checksum> chunks = ChunksOf(plan, IoMode::kMmap);
    EXPECT_EQ(ChecksumsOf(plan).value(), chunks) << "blocks that were read for their data";
    EXPECT_EQ(ChecksumsOf(OfNewOpening(plan)).value(), chunks) << "blocks that nobody has read";
    // The messages depend on the mode only if they are blocks.
    if (chunk_bytes != kBlock) {
      EXPECT_EQ(ChunksOf(plan, IoMode::kPread), chunks);
    }
  }
}

TEST_F(MessageMakerChecksumTest, ChecksumsOfEveryReadAreThoseOfItsBytes) {
  for (const std::size_t chunk_bytes : std::initializer_list<std::size_t>{1 << 20, 4 << 10, 3 << 20}) {
    ServeReads();
    chunk_bytes_ = chunk_bytes;
    const StreamPlan plan = PlanOfReads();
    // In both orders: the checksums of blocks that are known, and of such that are not.
    if (random_.OneIn(2)) {
      TF_ASSERT_OK(ChecksumsOf(plan));
    }
    const std::vector<std::string> bytes = Run(plan);
    EXPECT_TRUE(bytes[5] == DataOf("rows"));
  }
}

TEST_F(MessageMakerChecksumTest, FileIsOneChunkForEachAlignedMiB) {
  for (const std::int64_t size : {2 * kBlock, 2 * kBlock + random_.Between(1, kBlock - 1)}) {
    Serve({{"t", Dtype::kU8, {size}}});
    const std::string bytes = FileBytes();
    EXPECT_EQ(ChecksumsOf(PlanOfFile("m.safetensors")).value(), BlocksOf(bytes, 0, File().size_bytes()));
    for (int i = 0; i < 50; ++i) {
      const std::int64_t offset =
          random_.OneOf({0, 1, kBlock - 1, kBlock, kBlock + 1, random_.Between(0, File().size_bytes())});
      const std::int64_t left = File().size_bytes() - offset;
      const std::int64_t limit =
          random_.OneOf({0, 1, kBlock - 1, kBlock, kBlock + 1, 2 * kBlock, left, left + 1, random_.Between(0, left)});
      const std::vector<Checksum> expected = BlocksOf(bytes, offset, offset + std::min(limit, left));
      EXPECT_EQ(ChecksumsOf(PlanOfFile("m.safetensors", offset, limit)).value(), expected) << offset << " " << limit;
      EXPECT_EQ(ChecksumsOf(PlanOfFile("m.safetensors", offset)).value(), BlocksOf(bytes, offset, File().size_bytes()))
          << offset;
    }
  }
}

TEST_F(MessageMakerChecksumTest, FilesOfAllKindsAndSizesHaveChecksums) {
  const std::vector<std::pair<std::string, std::string>> files = {
      {"config.json", "{}"},
      {"empty.txt", ""},
      {"block.txt", random_.Bytes(kBlock)},
      {"more.txt", random_.Bytes(kBlock + 1)},
      {"less.txt", random_.Bytes(kBlock - 1)},
  };
  directory_.Write("m.safetensors", test::FileOfTensors({"a"}));
  for (const auto& [name, bytes] : files) directory_.Write(name, bytes);
  TF_ASSERT_OK_AND_ASSIGN(model_, Model::Open(directory_.path()));
  for (const auto& [name, bytes] : files) {
    EXPECT_EQ(ChecksumsOf(PlanOfFile(name)).value(), BlocksOf(bytes, 0, static_cast<std::int64_t>(bytes.size())))
        << name;
    EXPECT_EQ(Run(PlanOfFile(name)).at(0), bytes);
  }
}

TEST_F(MessageMakerChecksumTest, DataOfAFileFromAnyOffsetHasItsChecksums) {
  Serve({{"t", Dtype::kU8, {3 * kBlock}}});
  for (const std::size_t chunk_bytes : std::initializer_list<std::size_t>{1 << 20, 4 << 10, 3 << 20}) {
    chunk_bytes_ = chunk_bytes;
    const std::int64_t offset = random_.Between(0, kBlock + 1);
    EXPECT_TRUE(Run(PlanOfFile("m.safetensors", offset)).at(0) == FileBytes().substr(static_cast<std::size_t>(offset)));
  }
}

TEST_F(MessageMakerChecksumTest, MappingIsNeverTouched) {
  for (const auto& [known, busy] : {std::pair{false, false}, {false, true}, {true, false}}) {
    for (const std::size_t chunk_bytes : std::initializer_list<std::size_t>{1 << 20, 64 << 10}) {
      ServeReads();
      chunk_bytes_ = chunk_bytes;
      const std::vector<StreamPlan> plans = {PlanOfReads(), PlanOfFile("m.safetensors")};
      std::vector<std::vector<Checksum>> expected;
      for (const StreamPlan& plan : plans) expected.push_back(ChecksumsOf(plan).value());
      for (std::size_t i = 0; i < plans.size(); ++i) {
        StreamPlan plan = known ? plans[i] : OfNewOpening(plans[i]);
        void* mapping = const_cast<std::byte*>(File().bytes().data());
        ASSERT_EQ(::madvise(mapping, File().bytes().size(), MADV_DONTNEED), 0);
        const std::optional<std::int64_t> pages_before = PagesInMapping();
        // Also not when so many buffers are in use that a plan for data would refer to the mapping instead.
        const std::shared_ptr<BufferPool> buffers = BufferPool::Create(chunk_bytes_);
        std::vector<std::shared_ptr<std::byte[]>> taken;
        for (int count = busy ? 16 : 0; count > 0; --count) taken.push_back(buffers->Take());
        const absl::StatusOr<std::vector<Checksum>> checksums = ChecksumsOf(std::move(plan), buffers);
        const std::optional<std::int64_t> pages_after = PagesInMapping();
        TF_ASSERT_OK(checksums.status());
        EXPECT_EQ(*checksums, expected[i]);
        if (!pages_before) GTEST_SKIP() << "this system does not say which pages are in a mapping";
        EXPECT_EQ(pages_before, 0);
        EXPECT_EQ(pages_after, 0);
      }
    }
  }
}

TEST_F(MessageMakerChecksumTest, BlocksAreReadOnceAndTheirChecksumsKept) {
  Serve({{"t", Dtype::kU8, {4 * kBlock}}});
  for (const bool of_data : {false, true}) {
    TF_ASSERT_OK_AND_ASSIGN(model_, Model::Open(Path()));
    const std::string before = FileBytes();
    if (of_data) {
      ChunksOf(PlanOfFile("m.safetensors"), IoMode::kMmap);
    } else {
      TF_ASSERT_OK(ChecksumsOf(PlanOfFile("m.safetensors")));
    }
    for (std::int64_t i = 0; i < 4; ++i) EXPECT_TRUE(File().blocks().HasChecksum(i)) << i;
    // Other bytes at the same place, of the same length: the checksums that were kept are not computed again.
    std::fstream file(Path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(kBlock);
    const std::string other = random_.Bytes(3 * kBlock);
    file.write(other.data(), static_cast<std::streamsize>(other.size()));
    file.close();
    StreamPlan plan = PlanOfFile("m.safetensors", 0, 4 * kBlock);
    const std::shared_ptr<BufferPool> buffers = BufferPool::Create(kBlock);
    EXPECT_EQ(ChecksumsOf(plan, buffers).value(), BlocksOf(before, 0, 4 * kBlock));
    // The stream as a whole is refused.
    const MessageMaker source(std::move(plan), IoMode::kMmap, buffers, std::make_shared<InFlightBytes>());
    EXPECT_THAT(source.CheckUnchanged(), test::StatusIs(absl::StatusCode::kAborted, HasSubstr("changed")));
  }
}

TEST_F(MessageMakerChecksumTest, BlocksOfWhichNothingIsLeftHaveTheChecksumsThatWereKept) {
  Serve({{"t", Dtype::kU8, {2 * kBlock}}});
  const std::string bytes = FileBytes();
  TF_ASSERT_OK(ChecksumsOf(PlanOfFile("m.safetensors")));
  const StreamPlan plan = PlanOfFile("m.safetensors");
  const StreamPlan blocks = PlanOfFile("m.safetensors", 0, 2 * kBlock);
  std::filesystem::resize_file(Path(), 0);
  EXPECT_EQ(ChecksumsOf(blocks).value(), BlocksOf(bytes, 0, 2 * kBlock));
  EXPECT_THAT(ChecksumsOf(plan), test::StatusIs(absl::StatusCode::kDataLoss, HasSubstr("m.safetensors")))
      << "its end is no whole block, and read each time";
}

TEST_F(MessageMakerChecksumTest, FileThatShrankIsAnErrorAndNoSignal) {
  for (const std::size_t chunk_bytes : std::initializer_list<std::size_t>{1 << 20, 64 << 10}) {
    ServeReads();
    chunk_bytes_ = chunk_bytes;
    const std::vector<StreamPlan> plans = {PlanOfReads(), PlanOfFile("m.safetensors")};
    std::filesystem::resize_file(Path(), 10);
    for (const StreamPlan& plan : plans) {
      EXPECT_THAT(ChecksumsOf(plan), test::StatusIs(absl::StatusCode::kDataLoss, HasSubstr("m.safetensors")));
    }
  }
}

}  // namespace
}  // namespace tensorferry::server
