// SPDX-License-Identifier: Apache-2.0
#include "client/fetch/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/testing/random.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry {
namespace {

using test::StatusIs;
using ::testing::HasSubstr;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
constexpr std::int64_t kBlock = FileManifest::kBlockBytes;

// The heads of a stream's chunks. A chunk of checksums has no data.
using Stream = std::vector<v1::Chunk>;

void AddSegment(v1::Chunk& chunk, std::int64_t offset, std::int64_t size_bytes, std::int64_t read_index = 0) {
  v1::Segment& segment = *chunk.add_segments();
  segment.set_read_index(read_index);
  segment.set_result_offset(offset);
  segment.set_size_bytes(size_bytes);
}

// Returns the manifest of a file of `size_bytes` whose blocks have these checksums.
FileManifest ManifestOf(std::int64_t size_bytes, std::vector<std::uint32_t> checksums) {
  return {.name = "m.safetensors", .digest = "d1", .size_bytes = size_bytes, .block_crc32c = std::move(checksums)};
}

// Returns the stream of a file as a server sends it.
Stream StreamOf(const FileManifest& manifest) {
  Stream stream(1);
  stream[0].mutable_header()->set_generation("g1");
  stream[0].mutable_header()->set_read_count(1);
  stream[0].mutable_header()->set_size_bytes(manifest.size_bytes);
  stream[0].mutable_header()->set_digest(manifest.digest);
  v1::ReadResult& result = *stream[0].add_results();
  result.set_name(manifest.name);
  result.add_shape(manifest.size_bytes);
  result.set_size_bytes(manifest.size_bytes);
  for (std::size_t i = 0; i < manifest.block_crc32c.size(); ++i) {
    if (i > 0) stream.emplace_back();
    const std::int64_t offset = static_cast<std::int64_t>(i) * kBlock;
    AddSegment(stream.back(), offset, std::min(kBlock, manifest.size_bytes - offset));
    stream.back().set_crc32c(manifest.block_crc32c[i]);
  }
  return stream;
}

absl::StatusOr<FileManifest> Build(const Stream& stream) {
  ManifestBuilder builder;
  for (const v1::Chunk& head : stream) {
    wire::DecodedChunk chunk;
    *chunk.head = head;
    if (absl::Status status = builder.Add(chunk); !status.ok()) return status;
  }
  return std::move(builder).Complete();
}

// A file of three blocks, the last of which is short.
const FileManifest kThreeBlocks = ManifestOf(2 * kBlock + 5, {11, 0, 33});

TEST(ManifestBuilderTest, FilesOfAllSizesHaveTheirBlocksChecksums) {
  test::Random random;
  for (const std::int64_t size :
       {std::int64_t{0}, std::int64_t{1}, kBlock - 1, kBlock, kBlock + 1, 2 * kBlock, random.Between(0, 20 * kBlock)}) {
    std::vector<std::uint32_t> checksums(static_cast<std::size_t>((size + kBlock - 1) / kBlock));
    for (std::uint32_t& crc : checksums) crc = static_cast<std::uint32_t>(random.Between(0, 0xFFFFFFFF));
    const FileManifest manifest = ManifestOf(size, checksums);
    TF_ASSERT_OK_AND_ASSIGN(const FileManifest built, Build(StreamOf(manifest)));
    EXPECT_EQ(built, manifest) << size;
  }
}

TEST(ManifestBuilderTest, BlocksMayComeAfterTheFirstMessageAndConfirmationsBetweenThem) {
  Stream stream = StreamOf(kThreeBlocks);
  v1::Chunk first_block = stream[0];
  first_block.clear_header();
  first_block.clear_results();
  v1::Chunk results = stream[0];
  results.clear_header();
  results.clear_segments();
  results.clear_crc32c();
  stream[0].clear_results();
  stream[0].clear_segments();
  stream[0].clear_crc32c();
  v1::Chunk confirmation;
  confirmation.set_confirmed_size_bytes(1);
  stream.insert(stream.begin() + 1, {results, confirmation, first_block, confirmation});
  stream.push_back(confirmation);
  TF_ASSERT_OK_AND_ASSIGN(const FileManifest built, Build(stream));
  EXPECT_EQ(built, kThreeBlocks);
}

TEST(ManifestBuilderTest, StreamThatEndsEarlyIsDataLoss) {
  const Stream whole = StreamOf(kThreeBlocks);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THAT(Build(Stream(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size))), StatusIs(kDataLoss))
        << size;
  }
  Stream without_result = {whole[0]};
  without_result[0].clear_results();
  without_result[0].clear_segments();
  EXPECT_THAT(Build(without_result), StatusIs(kDataLoss, HasSubstr("describes no file")));
}

TEST(ManifestBuilderTest, HeaderThatIsNotInTheFirstMessageOnlyIsDataLoss) {
  Stream without = StreamOf(kThreeBlocks);
  without[0].clear_header();
  EXPECT_THAT(Build(without), StatusIs(kDataLoss, HasSubstr("header")));
  Stream late = StreamOf(kThreeBlocks);
  std::swap(*late[0].mutable_header(), *late[1].mutable_header());
  late[0].clear_header();
  EXPECT_THAT(Build(late), StatusIs(kDataLoss, HasSubstr("header")));
  for (std::size_t i = 1; i < 3; ++i) {
    Stream twice = StreamOf(kThreeBlocks);
    *twice[i].mutable_header() = twice[0].header();
    EXPECT_THAT(Build(twice), StatusIs(kDataLoss, HasSubstr("header"))) << i;
  }
}

TEST(ManifestBuilderTest, SeveralFilesOrOneOfNegativeSizeAreDataLoss) {
  for (std::size_t i = 0; i < 3; ++i) {
    Stream stream = StreamOf(kThreeBlocks);
    *stream[i].add_results() = stream[0].results(0);
    EXPECT_THAT(Build(stream), StatusIs(kDataLoss, HasSubstr("must describe one file"))) << i;
  }
  for (const std::int64_t size : {std::int64_t{-1}, std::numeric_limits<std::int64_t>::min()}) {
    Stream stream = StreamOf(kThreeBlocks);
    stream[0].mutable_results(0)->set_size_bytes(size);
    EXPECT_THAT(Build(stream), StatusIs(kDataLoss, HasSubstr("must describe one file"))) << size;
    Stream without_blocks = {stream[0]};
    without_blocks[0].clear_segments();
    EXPECT_THAT(Build(without_blocks), StatusIs(kDataLoss)) << size;
  }
}

TEST(ManifestBuilderTest, BlockBeforeTheFileIsDescribedIsDataLoss) {
  Stream stream = StreamOf(kThreeBlocks);
  std::swap(*stream[0].mutable_results(), *stream[1].mutable_results());
  EXPECT_THAT(Build(stream), StatusIs(kDataLoss));
}

TEST(ManifestBuilderTest, BlocksOutOfOrderMissingOrTwiceAreDataLoss) {
  const Stream whole = StreamOf(kThreeBlocks);
  Stream swapped = whole;
  swapped[1].Swap(&swapped[2]);
  EXPECT_THAT(Build(swapped), StatusIs(kDataLoss));
  Stream twice = whole;
  twice.insert(twice.begin() + 1, whole[1]);
  EXPECT_THAT(Build(twice), StatusIs(kDataLoss));
  Stream missing = whole;
  missing.erase(missing.begin() + 1);
  EXPECT_THAT(Build(missing), StatusIs(kDataLoss));
  Stream more = whole;
  more.emplace_back();
  AddSegment(more.back(), 2 * kBlock + 5, 1);
  EXPECT_THAT(Build(more), StatusIs(kDataLoss));
  Stream of_an_empty_file = StreamOf(ManifestOf(0, {}));
  AddSegment(of_an_empty_file[0], 0, 1);
  EXPECT_THAT(Build(of_an_empty_file), StatusIs(kDataLoss));
}

TEST(ManifestBuilderTest, ChunkThatIsNotOneBlockIsDataLoss) {
  const std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  // Each case replaces the read, the offset and the size of one block.
  const std::vector<std::tuple<std::size_t, std::int64_t, std::int64_t, std::int64_t>> wrong = {
      {0, 0, 0, kBlock - 1},       // short
      {0, 0, 0, kBlock + 1},       // long
      {0, 0, 0, 2 * kBlock + 5},   // all at once
      {0, 0, 1, kBlock - 1},       // not from its beginning
      {0, 1, 0, kBlock},           // another read
      {0, -1, 0, kBlock},          //
      {0, 0, -kBlock, kBlock},     //
      {1, 0, 0, kBlock},           // the previous block again
      {1, 0, kBlock - 1, kBlock},  // overlaps the previous block
      {1, 0, kBlock + 1, kBlock},  // a gap
      {1, 0, kBlock, kBlock + 5},  // the rest at once
      {1, 0, kBlock, kMax},        //
      {1, 0, kMax, kBlock},        //
      {2, 0, 2 * kBlock, kBlock},  // beyond the end of the file
      {2, 0, 2 * kBlock, 4},       // not to the end of the file
      {2, 0, 2 * kBlock + 5, 5},   //
  };
  for (const auto& [message, read, offset, size] : wrong) {
    Stream stream = StreamOf(kThreeBlocks);
    stream[message].clear_segments();
    AddSegment(stream[message], offset, size, read);
    EXPECT_THAT(Build(stream), StatusIs(kDataLoss)) << message << ": " << read << " " << offset << " " << size;
  }
  Stream in_two = StreamOf(kThreeBlocks);
  in_two[1].clear_segments();
  AddSegment(in_two[1], kBlock, kBlock - 10);
  AddSegment(in_two[1], 2 * kBlock - 10, 10);
  EXPECT_THAT(Build(in_two), StatusIs(kDataLoss)) << "one block in two segments";
  Stream two_at_once = StreamOf(kThreeBlocks);
  AddSegment(two_at_once[1], 2 * kBlock, 5);
  EXPECT_THAT(Build(two_at_once), StatusIs(kDataLoss)) << "a block, and the next one twice";
  two_at_once.pop_back();
  EXPECT_THAT(Build(two_at_once), StatusIs(kDataLoss)) << "two blocks in one chunk";
}

TEST(ManifestBuilderTest, HugeFileThatIsOnlyAnnouncedTakesNoMemory) {
  Stream stream = StreamOf(ManifestOf(0, {}));
  stream[0].mutable_results(0)->set_size_bytes(std::numeric_limits<std::int64_t>::max());
  AddSegment(stream[0], 0, kBlock);
  EXPECT_THAT(Build(stream), StatusIs(kDataLoss, HasSubstr("manifest covers 1048576 bytes of 9223372036854775807")));
}

}  // namespace
}  // namespace tensorferry
