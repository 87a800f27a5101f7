// SPDX-License-Identifier: Apache-2.0
// Random plans, compared with a naive expansion of every read into runs of its file.
#include "server/stream/message_packer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "lib/files/block_cache.h"
#include "tensorferry/dtype.h"
#include "tensorferry/slice.h"
#include "tensorferry/v1/tensor_service.pb.h"
#include "tests/testing/random.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/slice_oracle.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry::server {
namespace {

constexpr std::int64_t kBlock = BlockCache::kBlockBytes;

// The bytes [begin, end) of a file.
struct FileRun {
  const MappedFile* file = nullptr;
  std::int64_t begin = 0;
  std::int64_t end = 0;
  friend bool operator==(const FileRun&, const FileRun&) = default;
};

// A sequence of runs; runs that follow each other are one.
class Runs {
 public:
  void Add(const MappedFile* file, std::int64_t begin, std::int64_t end) {
    if (!runs_.empty() && runs_.back().file == file && runs_.back().end == begin) {
      runs_.back().end = end;
    } else if (begin < end) {
      runs_.push_back({file, begin, end});
    }
  }
  const std::vector<FileRun>& all() const { return runs_; }
  friend bool operator==(const Runs&, const Runs&) = default;

 private:
  std::vector<FileRun> runs_;
};

class MessagePackerTest : public ::testing::Test {
 protected:
  MessagePackerTest() {
    directory_.Write("m.safetensors", test::FileOfTensors({"a"}));
    const absl::StatusOr<std::shared_ptr<const Model>> model = Model::Open(directory_.Path("m.safetensors"));
    EXPECT_TRUE(model.ok()) << model.status();
    model_ = *model;
    for (const char* name : {"f0", "f1", "f2"}) {
      std::filesystem::resize_file(directory_.Write(name, ""), 8 * kBlock);
      const absl::StatusOr<std::shared_ptr<const MappedFile>> file = MappedFile::Open(directory_.Path(name));
      EXPECT_TRUE(file.ok()) << file.status();
      files_.push_back(*file);
    }
  }

  StreamPlan NewPlan() {
    naive_.clear();
    return StreamPlan(model_);
  }

  // Adds a read of `size_bytes` bytes at `offset` of a file.
  void AddWhole(std::size_t file, std::int64_t offset, std::int64_t size_bytes, StreamPlan& plan) {
    Add(file, offset, size_bytes, SlicePlan::Whole(std::span(&size_bytes, 1), size_bytes), std::nullopt, plan);
  }

  void Add(std::size_t file, std::int64_t offset, std::int64_t size_bytes, SlicePlan slice,
           std::optional<std::vector<std::int64_t>> source_bytes, StreamPlan& plan) {
    const std::int64_t result_bytes = slice.size_bytes();
    plan.reads.push_back({.name = "a name",
                          .dtype = "U8",
                          .file = files_[file],
                          .source_offset = offset,
                          .source_size_bytes = size_bytes,
                          .slice = std::move(slice),
                          .result_begin = 0,
                          .result_end = result_bytes});
    naive_.push_back(std::move(source_bytes));
  }

  // Adds a slice of a small tensor at `offset`. Returns the size of the tensor.
  std::int64_t AddSlice(std::size_t file, std::int64_t offset, StreamPlan& plan) {
    const std::vector<std::int64_t> shape = {random_.Between(1, 6), random_.Between(1, 6),
                                             random_.OneOf({1, 7, 300, 5'000, 9'000})};
    SliceSpec spec;
    for (const std::int64_t size : shape) {
      const std::int64_t start = random_.Between(0, size - 1);
      spec.dimensions.push_back(random_.OneIn(3) ? Range{}
                                                 : Range{start, random_.Between(start, size), random_.Between(1, 2)});
    }
    absl::StatusOr<SlicePlan> slice = SlicePlan::Create(spec, Dtype::kU8, shape);
    EXPECT_TRUE(slice.ok()) << slice.status();
    const std::int64_t size = shape[0] * shape[1] * shape[2];
    Add(file, offset, size, *std::move(slice), test::SliceByBruteForce(spec, Dtype::kU8, shape)->source_bytes, plan);
    return size;
  }

  // Adds the part [begin, end) of a read's result, byte by byte where it is sliced.
  void Expand(const PlannedRead& read, std::size_t index, std::int64_t begin, std::int64_t end, Runs& runs) const {
    ASSERT_GE(begin, read.result_begin);
    ASSERT_LE(end, read.result_end);
    if (!naive_[index]) {
      runs.Add(read.file.get(), read.source_offset + begin, read.source_offset + end);
      return;
    }
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t position = read.source_offset + (*naive_[index])[static_cast<std::size_t>(i)];
      runs.Add(read.file.get(), position, position + 1);
    }
  }

  StreamPlan RandomPlan() {
    StreamPlan plan = NewPlan();
    for (std::size_t file = 0; file < files_.size(); ++file) {
      std::int64_t offset = random_.OneOf({0, 5, kBlock - 3, 4096});
      for (std::int64_t count = random_.Between(0, 8); count > 0; --count) {
        if (random_.OneIn(4)) offset += random_.Between(1, 20'000);  // a hole
        if (random_.OneIn(3)) {
          offset += AddSlice(file, offset, plan);
        } else {
          const std::int64_t size =
              random_.OneOf({0, 1, 100, 8191, 8192, 60'000, kBlock, random_.Between(1, 2 * kBlock)});
          if (offset + size > files_[file]->size_bytes()) continue;
          AddWhole(file, offset, size, plan);
          offset += size;
        }
        PlannedRead& read = plan.reads.back();
        if (random_.OneIn(5)) read.result_begin = random_.Between(0, read.result_end);
        if (random_.OneIn(5)) read.result_end = random_.Between(read.result_begin, read.result_end);
        // A read that is requested twice.
        if (random_.OneIn(10)) {
          plan.reads.push_back(read);
          naive_.push_back(naive_.back());
        }
      }
    }
    Shuffle(plan);
    return plan;
  }

  void Shuffle(StreamPlan& plan) {
    if (random_.OneIn(2)) return;
    std::vector<std::size_t> order(plan.reads.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::shuffle(order, random_.generator());
    const std::vector<PlannedRead> reads = plan.reads;
    const auto naive = naive_;
    for (std::size_t i = 0; i < order.size(); ++i) {
      plan.reads[i] = reads[order[i]];
      naive_[i] = naive[order[i]];
    }
  }

  // Packs a plan, and compares each message with the naive expansion.
  std::vector<PackedMessage> Check(const StreamPlan& plan, const MessagePacker::Options& options) {
    std::vector<PackedMessage> messages;
    CheckMessages(plan, options, messages);
    return messages;
  }

  void CheckMessages(const StreamPlan& plan, const MessagePacker::Options& options,
                     std::vector<PackedMessage>& messages) {
    MessagePacker packer(plan, options);
    MessagePacker twin(plan, options);
    const std::vector<PlannedRead>& reads = packer.plan().reads;
    std::vector<std::int64_t> next;
    for (const PlannedRead& read : reads) next.push_back(read.result_begin);
    std::size_t results = 0;
    std::optional<std::tuple<std::string, std::int64_t>> place;
    std::size_t last_read = 0;
    while (!packer.done()) {
      const bool results_were_done = packer.started() && results == reads.size();
      const std::optional<Piece> block = packer.PeekBlock();
      const std::optional<MessagePacker::Ahead> ahead = packer.Peek();
      const PackedMessage message = packer.Pack();
      ExpectEqual(packer, message, twin, twin.Pack());
      EXPECT_EQ(message.is_first, messages.empty());
      EXPECT_EQ(message.is_last, packer.done());

      EXPECT_EQ(message.results_begin, std::exchange(results, message.results_end));
      EXPECT_TRUE(message.segments.empty() || results == reads.size()) << "data before all results";

      Runs wanted;
      std::int64_t size_bytes = 0;
      for (const PackedSegment& segment : message.segments) {
        const PlannedRead& read = reads.at(segment.read_index);
        EXPECT_EQ(segment.result_offset, next[segment.read_index]) << "the segments of a read come in order";
        EXPECT_GT(segment.size_bytes, 0);
        next[segment.read_index] += segment.size_bytes;
        Expand(read, segment.read_index, segment.result_offset, next[segment.read_index], wanted);
        size_bytes += segment.size_bytes;
        const std::tuple here(read.file->path(), read.source_offset);
        EXPECT_TRUE(!place || *place <= here) << "reads are in the order of the files";
        EXPECT_TRUE(segment.read_index == last_read || segment.result_offset == read.result_begin);
        place = here;
        last_read = segment.read_index;
      }
      EXPECT_EQ(message.size_bytes, size_bytes);
      EXPECT_LE(message.size_bytes, options.chunk_bytes);
      EXPECT_LE(message.segments.size(), MessagePacker::kMaxSegments);

      Runs packed;
      for (const Piece& piece : message.pieces) {
        EXPECT_GT(piece.size_bytes(), 0);
        if (piece.kind == Piece::Kind::kExtent) {
          packed.Add(piece.read->file.get(), piece.begin, piece.end);
          continue;
        }
        Expand(*piece.read, static_cast<std::size_t>(piece.read - reads.data()), piece.begin, piece.end, packed);
        if (options.extents) {
          EXPECT_LT(std::min(piece.read->slice.run_bytes(), piece.size_bytes()), MessagePacker::kMinExtentBytes);
        }
      }
      EXPECT_EQ(packed, wanted) << "the pieces are the segments' bytes";
      if (!options.extents && !plan.checksums_only) {
        EXPECT_TRUE(
            std::ranges::none_of(message.pieces, [](const Piece& p) { return p.kind == Piece::Kind::kExtent; }));
      }

      const bool is_one_extent = message.pieces.size() == 1 && message.pieces[0].kind == Piece::Kind::kExtent;
      EXPECT_EQ(message.is_block, packer.aligns_to_blocks() && is_one_extent &&
                                      BlockCache::IsBlock(message.pieces[0].begin, message.size_bytes));
      if (!message.is_last && !message.segments.empty() && message.size_bytes < options.chunk_bytes) {
        EXPECT_TRUE(packer.aligns_to_blocks() && wanted.all().back().end % kBlock == 0)
            << "a message that is not full ends with a block";
      }
      if (block) {
        ASSERT_TRUE(message.is_block);
        EXPECT_EQ(block->read->file, message.pieces[0].read->file);
        EXPECT_EQ(block->begin, message.pieces[0].begin);
        EXPECT_EQ(block->end, message.pieces[0].end);
      }
      const bool is_sliced = std::ranges::any_of(naive_, [](const auto& naive) { return naive.has_value(); });
      if (!is_sliced) {
        EXPECT_EQ(block.has_value(), message.is_block && results_were_done);
      }
      if (ahead && !message.segments.empty()) {
        const FileRun first = wanted.all().front();
        EXPECT_EQ(std::tuple(ahead->file.get(), ahead->begin), std::tuple(first.file, first.begin));
        if (wanted.all().size() == 1) {
          EXPECT_LE(first.end, ahead->next_end);
          EXPECT_TRUE(first.end == ahead->next_end || ahead->end < ahead->next_end || message.is_last ||
                      !is_one_extent);
        }
      }
      messages.push_back(message);
    }
    EXPECT_EQ(results, reads.size());
    for (std::size_t i = 0; i < reads.size(); ++i) EXPECT_EQ(next[i], reads[i].result_end) << i;
    EXPECT_FALSE(packer.Peek() || packer.PeekBlock());
  }

  static void ExpectEqual(const MessagePacker& a, const PackedMessage& x, const MessagePacker& b,
                          const PackedMessage& y) {
    const auto pieces = [](const MessagePacker& packer, const PackedMessage& message) {
      std::vector<std::tuple<Piece::Kind, std::ptrdiff_t, std::int64_t, std::int64_t>> all;
      for (const Piece& piece : message.pieces) {
        all.emplace_back(piece.kind, piece.read - packer.plan().reads.data(), piece.begin, piece.end);
      }
      return all;
    };
    EXPECT_EQ(pieces(a, x), pieces(b, y));
    EXPECT_EQ(x.segments, y.segments);
    EXPECT_EQ(x.results_end, y.results_end);
    EXPECT_EQ(x.is_block, y.is_block);
  }

  // The sizes of the messages of one read of a file.
  std::vector<std::int64_t> SizesOf(std::int64_t offset, std::int64_t size_bytes, bool is_manifest = false) {
    StreamPlan plan = NewPlan();
    AddWhole(0, offset, size_bytes, plan);
    if (is_manifest) {
      plan.checksums_only = true;
      plan.reads[0].dtype = {};
    }
    std::vector<std::int64_t> sizes;
    for (const PackedMessage& message : Check(plan, {.chunk_bytes = kBlock})) sizes.push_back(message.size_bytes);
    return sizes;
  }

  test::Random random_;
  test::TempDir directory_;
  std::shared_ptr<const Model> model_;
  std::vector<std::shared_ptr<const MappedFile>> files_;
  // For each read, the offset in its source of every byte of the result; nothing for whole tensors.
  std::vector<std::optional<std::vector<std::int64_t>>> naive_;
};

TEST_F(MessagePackerTest, RandomPlansEqualTheirNaiveExpansion) {
  for (int round = 0; round < 150; ++round) {
    StreamPlan plan = RandomPlan();
    plan.checksums_only = random_.OneIn(4);
    for (const bool extents : {true, false}) {
      Check(plan, {.chunk_bytes = random_.OneOf({4 << 10, 64 << 10, kBlock, kBlock, 3 * kBlock}), .extents = extents});
      if (HasFailure()) return;
    }
  }
}

TEST_F(MessagePackerTest, MessagesEndWithBlocksIfAWholeBlockFollows) {
  constexpr std::int64_t kHalf = kBlock / 2;
  using Sizes = std::vector<std::int64_t>;
  EXPECT_EQ(SizesOf(0, 2 * kBlock + 5), (Sizes{kBlock, kBlock, 5}));
  EXPECT_EQ(SizesOf(kHalf, kHalf + 2 * kBlock), (Sizes{kHalf, kBlock, kBlock}));
  EXPECT_EQ(SizesOf(kHalf, kHalf + kBlock), (Sizes{kHalf, kBlock}));
  EXPECT_EQ(SizesOf(kHalf, kHalf + kBlock - 1), (Sizes{kBlock, kHalf - 1})) << "no whole block";
  EXPECT_EQ(SizesOf(kHalf, kHalf), (Sizes{kHalf}));
}

TEST_F(MessagePackerTest, ManifestHasAMessageForEachBlock) {
  constexpr std::int64_t kHalf = kBlock / 2;
  using Sizes = std::vector<std::int64_t>;
  EXPECT_EQ(SizesOf(0, kBlock + 5, /*is_manifest=*/true), (Sizes{kBlock, 5}));
  EXPECT_EQ(SizesOf(kHalf, kHalf + 1, /*is_manifest=*/true), (Sizes{kHalf, 1}));
  EXPECT_EQ(SizesOf(kHalf, 2 * kBlock, /*is_manifest=*/true), (Sizes{kHalf, kBlock, kHalf}));
  EXPECT_EQ(SizesOf(kBlock - 10, 20, /*is_manifest=*/true), (Sizes{10, 10})) << "even if it is gathered";
}

TEST_F(MessagePackerTest, SmallReadsThatFollowEachOtherAreOneExtent) {
  StreamPlan plan = NewPlan();
  for (std::int64_t i = 0; i < 100; ++i) AddWhole(1, 7 + 100 * i, 100, plan);
  AddWhole(1, 20'000, 100, plan);
  const std::vector<PackedMessage> messages = Check(plan, {.chunk_bytes = kBlock});
  ASSERT_EQ(messages.size(), 1U);
  ASSERT_EQ(messages[0].pieces.size(), 2U);
  EXPECT_EQ(messages[0].pieces[0].kind, Piece::Kind::kExtent);
  EXPECT_EQ(messages[0].pieces[0].size_bytes(), 10'000);
  EXPECT_EQ(messages[0].pieces[1].kind, Piece::Kind::kGather);
}

TEST_F(MessagePackerTest, ReadsOfDifferentFilesDoNotFollowEachOther) {
  StreamPlan plan = NewPlan();
  AddWhole(0, 0, 100, plan);
  AddWhole(1, 100, 2 * kBlock, plan);
  const std::vector<PackedMessage> messages = Check(plan, {.chunk_bytes = kBlock});
  EXPECT_EQ(messages[0].pieces[0].kind, Piece::Kind::kGather);
}

TEST_F(MessagePackerTest, OnlyTheEndOfASliceIsFollowedByTheNextRead) {
  const std::vector<std::int64_t> shape = {2, 200};
  const SliceSpec spec{.dimensions = {Range{}, Range{0, 100, 1}}};
  const absl::StatusOr<SlicePlan> slice = SlicePlan::Create(spec, Dtype::kU8, shape);
  TF_ASSERT_OK(slice.status());
  StreamPlan plan = NewPlan();
  AddWhole(0, 0, kBlock, plan);
  Add(0, kBlock, 400, *slice, test::SliceByBruteForce(spec, Dtype::kU8, shape)->source_bytes, plan);
  AddWhole(0, kBlock + 100, 3 * kBlock, plan);
  Check(plan, {.chunk_bytes = kBlock});
}

TEST_F(MessagePackerTest, MessageHasALimitedNumberOfSegments) {
  StreamPlan plan = NewPlan();
  for (std::int64_t i = 0; i < 40'000; ++i) AddWhole(0, i, 1, plan);
  const MessagePacker::Options options{.chunk_bytes = 3 * kBlock};
  MessagePacker packer(plan, options);
  std::size_t segments = 0;
  std::size_t most = 0;
  while (!packer.done()) {
    const PackedMessage message = packer.Pack();
    segments += message.segments.size();
    most = std::max(most, message.segments.size());
  }
  EXPECT_EQ(segments, 40'000U);
  EXPECT_EQ(most, MessagePacker::kMaxSegments);
}

TEST_F(MessagePackerTest, ResultsOfAMessageHaveALimitedSize) {
  const std::string name(2'000, 'n');
  StreamPlan plan = NewPlan();
  for (int i = 0; i < 1'000; ++i) {
    AddWhole(0, 0, 3, plan);
    plan.reads.back().name = name;
  }
  const std::vector<PackedMessage> messages = Check(plan, {.chunk_bytes = kBlock});
  ASSERT_EQ(messages.size(), 4U);
  for (const PackedMessage& message : messages) {
    std::size_t size = 0;
    for (std::size_t i = message.results_begin; i < message.results_end; ++i) {
      size += EncodedResultBytes(plan.reads[i]);
    }
    EXPECT_LT(size, MessagePacker::kMaxResultsBytes + EncodedResultBytes(plan.reads[0]));
  }
}

TEST_F(MessagePackerTest, EncodedSizeOfAResultIsThatOfTheProto) {
  for (int round = 0; round < 1'000; ++round) {
    const std::string name(random_.Below(300), 'n');
    std::vector<std::int64_t> shape;
    for (std::size_t rank = random_.Below(20); rank > 0; --rank) {
      shape.push_back(random_.OneOf({0, 1, 127, 128, std::int64_t{1} << 40}));
    }
    PlannedRead read{.name = name,
                     .dtype = random_.OneIn(2) ? "" : "BF16",
                     .slice = SlicePlan::Whole(shape, random_.OneOf({0, 1, 300, std::int64_t{1} << 50}))};
    v1::ReadResult result;
    result.set_name(name);
    result.set_dtype(std::string(read.dtype));
    for (const std::int64_t size : shape) result.add_shape(size);
    result.set_size_bytes(read.slice.size_bytes());
    EXPECT_EQ(EncodedResultBytes(read), result.ByteSizeLong());
  }
}

TEST_F(MessagePackerTest, PlanWithoutDataIsOneMessage) {
  EXPECT_EQ(Check(NewPlan(), {.chunk_bytes = kBlock}).size(), 1U);
  EXPECT_EQ(SizesOf(5, 0), std::vector<std::int64_t>{0});
}

}  // namespace
}  // namespace tensorferry::server
