// SPDX-License-Identifier: Apache-2.0
// Windows: which bytes, slices and files they cover, and when they are released.
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lib/wire/proto_conversion.h"
#include "tests/server/stream/message_maker_fixture.h"

namespace tensorferry::server {
namespace {

constexpr std::int64_t kMiB = 1 << 20;
constexpr std::int64_t kWindowBytes = 8 * kMiB;

class MessageMakerWindowTest : public MessageMakerFixture {
 protected:
  struct Kept {
    grpc::ByteBuffer bytes;
    std::vector<Place> places;
    std::int64_t begin = 0;  // of its data in that of the stream
    std::int64_t end = 0;
  };

  MessageMakerWindowTest() { chunk_bytes_ = kMiB; }

  std::unique_ptr<MessageMaker> SourceOf(StreamPlan plan, IoMode io = IoMode::kMmap) {
    windows_.clear();
    queue_ = std::make_shared<ReleasedWindows>();
    auto source = std::make_unique<MessageMaker>(std::move(plan), io, BufferPool::Create(chunk_bytes_), in_flight_);
    source->TrackWindows(queue_);
    return source;
  }

  // Takes all messages of a plan and keeps them.
  std::vector<Kept> Take(StreamPlan plan, IoMode io = IoMode::kMmap) {
    const std::unique_ptr<MessageMaker> source = SourceOf(std::move(plan), io);
    std::vector<Kept> messages;
    std::int64_t end = 0;
    while (!source->done()) {
      absl::StatusOr<Message> message = source->Next();
      EXPECT_TRUE(message.ok()) << message.status();
      const absl::StatusOr<wire::DecodedChunk> chunk = wire::DecodeChunk(message->bytes);
      EXPECT_TRUE(chunk.ok()) << chunk.status();
      const std::int64_t begin = std::exchange(end, end + message->data_bytes);
      messages.push_back({.bytes = message->bytes, .places = PlacesOf(*chunk), .begin = begin, .end = end});
      message->bytes.Clear();
    }
    return messages;
  }

  // The windows that were released, in the order of the stream.
  std::vector<Window> Windows() {
    std::vector<Window> windows = Released();
    std::ranges::sort(windows, {}, &Window::index);
    return windows;
  }

  // A plan of the whole of each tensor.
  StreamPlan PlanOfAll() const {
    StreamPlan plan(model_);
    for (const test::TensorSpec& tensor : tensors_) EXPECT_TRUE(AddRead(ReadOf(tensor.name), plan).ok());
    return plan;
  }

  // The windows of the last plan that were released, in that order.
  const std::vector<Window>& Released() {
    std::ranges::move(queue_->Take(), std::back_inserter(windows_));
    return windows_;
  }

  std::shared_ptr<ReleasedWindows> queue_;
  std::vector<Window> windows_;
  std::shared_ptr<InFlightBytes> in_flight_ = std::make_shared<InFlightBytes>();
};

TEST_F(MessageMakerWindowTest, WindowsOfAnyChunkSizeCoverAStreamOnce) {
  Serve({{"a", Dtype::kU8, {9 * kMiB + 5}}, {"b", Dtype::kU8, {3, 1000}}, {"c", Dtype::kU8, {17 * kMiB}}});
  for (const std::size_t chunk_bytes : std::initializer_list<std::size_t>{4 << 10, 1 << 20, 3 << 20}) {
    chunk_bytes_ = chunk_bytes;
    EXPECT_EQ(Run(PlanOfAll()).at(2), DataOf("c"));
  }
}

TEST_F(MessageMakerWindowTest, MessageThatIsHeldKeepsItsWindowAndNoOther) {
  Serve({{"a", Dtype::kU8, {20 * kMiB + 5}}, {"b", Dtype::kU8, {500'000}}});
  for (const IoMode io : {IoMode::kMmap, IoMode::kPread}) {
    const std::size_t count = Take(PlanOfAll(), io).size();
    const std::vector<Window> windows = Windows();
    ExpectWindows(windows, 20 * kMiB + 500'005);
    ASSERT_EQ(windows.size(), 3U);
    for (std::size_t held = 0; held < count; ++held) {
      std::vector<Kept> messages = Take(PlanOfAll(), io);
      ASSERT_EQ(messages.size(), count);
      EXPECT_TRUE(Released().empty()) << "all messages are held";
      const Kept message = messages[held];
      messages.clear();
      EXPECT_EQ(in_flight_->value(), message.end - message.begin);
      // All windows but one, which the message lies in.
      ASSERT_EQ(Released().size(), 2U) << held;
      std::int64_t begin = 0;
      for (const Window& window : windows) {
        const bool is_held = begin <= message.begin && message.end <= window.end_bytes;
        const bool is_released = std::ranges::find(Released(), window.index, &Window::index) != Released().end();
        EXPECT_NE(is_released, is_held) << "message " << held << ", window " << window.index;
        begin = window.end_bytes;
      }
    }
    EXPECT_EQ(in_flight_->value(), 0);
    ExpectWindows(Windows(), 20 * kMiB + 500'005);
  }
}

TEST_F(MessageMakerWindowTest, WindowIsReleasedWithTheLastOfItsSlices) {
  // Messages that refer to the mapping in several places, and have short runs in between.
  std::vector<test::TensorSpec> tensors;
  for (int i = 0; i < 60; ++i) {
    tensors.push_back({"t" + std::to_string(i), Dtype::kU8, {2, i % 3 == 0 ? 100 : 200'000}});
  }
  Serve(tensors);
  StreamPlan plan(model_);
  for (const test::TensorSpec& tensor : tensors) {
    v1::Read read = ReadOf(tensor.name);
    const SliceSpec spec{.dimensions = {Range{}, Range{1, std::nullopt, 1}}};
    *read.mutable_slice() = wire::ToProto(spec);
    TF_ASSERT_OK(AddRead(read, plan));
  }
  for (const IoMode io : {IoMode::kMmap, IoMode::kPread}) {
    Take(plan, io);
    const std::vector<Window> windows = Windows();
    ASSERT_GT(windows.size(), 1U);
    std::vector<std::pair<std::size_t, grpc::Slice>> slices;  // with the windows that they are in
    std::vector<std::size_t> held(windows.size());            // how many of each
    std::vector<Kept> messages = Take(plan, io);
    std::size_t window = 0;
    for (Kept& message : messages) {
      if (message.begin == windows[window].end_bytes) ++window;
      std::vector<grpc::Slice> parts;
      ASSERT_TRUE(message.bytes.Dump(&parts).ok());
      // The first slice is the chunk without its data.
      for (auto part = parts.begin() + 1; part != parts.end(); ++part) {
        slices.emplace_back(window, *part);
        ++held[window];
      }
    }
    if (io == IoMode::kMmap) {
      EXPECT_GT(slices.size(), 2 * messages.size());
    }
    messages.clear();
    std::ranges::shuffle(slices, random_.generator());
    for (; !slices.empty(); slices.pop_back()) {
      const std::size_t gone = static_cast<std::size_t>(std::ranges::count(held, 0U));
      ASSERT_EQ(Released().size(), gone);
      --held[slices.back().first];
    }
    ExpectWindows(Windows(), plan.header.size_bytes());
    EXPECT_EQ(in_flight_->value(), 0);
  }
}

TEST_F(MessageMakerWindowTest, OneSliceOfAMessageKeepsTheWindow) {
  Serve({{"a", Dtype::kU8, {50'000}},
         {"hole", Dtype::kU8, {100}},
         {"b", Dtype::kU8, {50'000}},
         {"hole2", Dtype::kU8, {100}},
         {"c", Dtype::kU8, {2, 300}}});
  StreamPlan plan(model_);
  v1::Read short_runs = ReadOf("c");
  const SliceSpec spec{.dimensions = {Range{}, Range{1, std::nullopt, 2}}};
  *short_runs.mutable_slice() = wire::ToProto(spec);
  for (const v1::Read& read : {ReadOf("a"), ReadOf("b"), short_runs}) TF_ASSERT_OK(AddRead(read, plan));
  std::vector<grpc::Slice> all;
  ASSERT_TRUE(Take(plan).at(0).bytes.Dump(&all).ok());
  ASSERT_EQ(all.size(), 4U) << "two runs in the mapping, one that was gathered, and what comes before them";
  all.clear();
  for (std::size_t held = 1; held < 4; ++held) {
    std::vector<Kept> messages = Take(plan);
    ASSERT_EQ(messages.size(), 1U);
    ASSERT_TRUE(messages[0].bytes.Dump(&all).ok());
    messages.clear();
    const grpc::Slice slice = all[held];
    all.clear();
    EXPECT_TRUE(Released().empty()) << held;
    EXPECT_EQ(in_flight_->value(), static_cast<std::int64_t>(slice.size()));
  }
}

TEST_F(MessageMakerWindowTest, FilesOfAWindowAreThoseThatItsDataIsFrom) {
  const std::vector<std::int64_t> sizes = {5 * kMiB, 19 * kMiB + 3, 300, 4 * kMiB, 100};
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const std::vector<test::TensorSpec> tensors = {{"t" + std::to_string(i), Dtype::kU8, {sizes[i]}}};
    directory_.Write(std::to_string(i) + ".safetensors", test::ValidFile(tensors));
  }
  TF_ASSERT_OK_AND_ASSIGN(model_, Model::Open(directory_.path()));
  for (const bool checksums_only : {false, true}) {
    for (int round = 0; round < 10; ++round) {
      StreamPlan plan(model_);
      plan.checksums_only = checksums_only;
      const std::size_t unread = random_.Below(sizes.size());
      const std::size_t described = random_.Below(sizes.size());
      for (std::int64_t reads = random_.Between(1, 12); reads > 0; --reads) {
        const std::size_t i = random_.Below(sizes.size());
        if (i == unread || i == described) continue;
        TF_ASSERT_OK(AddRead(ReadOf("t" + std::to_string(i), random_.Between(0, sizes[i])), plan));
      }
      TF_ASSERT_OK(AddRead(ReadOf("t" + std::to_string(described), 0, 0), plan));
      const std::vector<PlannedRead> reads = plan.reads;
      const std::int64_t total = plan.header.size_bytes();
      if (checksums_only) {
        const std::unique_ptr<MessageMaker> source = SourceOf(std::move(plan));
        while (!source->done()) TF_ASSERT_OK(source->Next());
        ASSERT_EQ(Released().size(), 1U);
        ExpectWindows(Windows(), 0);
        std::set<std::shared_ptr<const MappedFile>> expected;
        for (const PlannedRead& read : reads) {
          if (read.result_begin < read.result_end) expected.insert(read.file);
        }
        const auto& files = Released()[0].files;
        EXPECT_EQ(files.size(), expected.size()) << "each once";
        EXPECT_EQ(std::set(files.begin(), files.end()), expected);
        continue;
      }
      std::vector<Kept> messages = Take(std::move(plan));
      std::vector<std::pair<std::int64_t, std::vector<Place>>> places;  // of each message, with its beginning
      for (const Kept& message : messages) places.emplace_back(message.begin, message.places);
      messages.clear();
      ExpectWindows(Windows(), total);
      std::int64_t begin = 0;
      for (const Window& window : Windows()) {
        std::set<std::shared_ptr<const MappedFile>> expected;
        for (const auto& [position, segments] : places) {
          if (position < begin || position >= window.end_bytes) continue;
          for (const Place& place : segments) expected.insert(reads.at(place.read).file);
        }
        EXPECT_EQ(window.files.size(), expected.size()) << "each once";
        EXPECT_EQ(std::set(window.files.begin(), window.files.end()), expected) << window.index;
        begin = window.end_bytes;
      }
    }
  }
}

TEST_F(MessageMakerWindowTest, WindowIsFullAtEightMiBAndNoneIsEmpty) {
  for (const std::int64_t size : {kWindowBytes - 1, kWindowBytes, kWindowBytes + 1, 2 * kWindowBytes}) {
    Serve({{"t", Dtype::kU8, {size}}});
    // Messages of whole blocks in the one case, and of as much as fits in the other.
    for (const IoMode io : {IoMode::kMmap, IoMode::kPread}) {
      Take(PlanOfAll(), io);
      ExpectWindows(Windows(), size);
      if (io == IoMode::kPread) {
        EXPECT_EQ(Released().size(), static_cast<std::size_t>((size + kWindowBytes - 1) / kWindowBytes));
      }
    }
  }
}

TEST_F(MessageMakerWindowTest, PlanWithoutDataIsOneWindowThatIsTheLast) {
  Serve({{std::string(2000, 'n'), Dtype::kU8, {3}}, {"empty", Dtype::kF32, {0, 5}}});
  StreamPlan no_reads(model_);
  StreamPlan nothing_wanted(model_);
  TF_ASSERT_OK(AddRead(ReadOf(tensors_[0].name, 0, 0), nothing_wanted));
  StreamPlan empty_result(model_);
  TF_ASSERT_OK(AddRead(ReadOf("empty"), empty_result));
  StreamPlan many_results(model_);
  for (int i = 0; i < 1000; ++i) TF_ASSERT_OK(AddRead(ReadOf(tensors_[0].name, 3), many_results));
  for (StreamPlan plan : {no_reads, nothing_wanted, empty_result, many_results}) {
    for (const bool checksums_only : {false, true}) {
      plan.checksums_only = checksums_only;
      const std::unique_ptr<MessageMaker> source = SourceOf(plan);
      do {
        EXPECT_TRUE(Released().empty());
        TF_ASSERT_OK(source->Next());
      } while (!source->done());
      ASSERT_EQ(Released().size(), 1U);
      EXPECT_TRUE(Released()[0].is_last);
      EXPECT_EQ(Released()[0].index, 0);
      EXPECT_EQ(Released()[0].end_bytes, 0);
      EXPECT_TRUE(Released()[0].files.empty());
    }
  }
}

TEST_F(MessageMakerWindowTest, WindowThatWasNotFilledIsNoLastOne) {
  Serve({{"t", Dtype::kU8, {10 * kMiB}}});
  std::unique_ptr<MessageMaker> source = SourceOf(PlanOfAll());
  for (int i = 0; i < 3; ++i) TF_ASSERT_OK(source->Next());
  EXPECT_TRUE(Released().empty()) << "more data will be in it";
  source.reset();
  ASSERT_EQ(Released().size(), 1U);
  EXPECT_FALSE(Released()[0].is_last);
  EXPECT_EQ(in_flight_->value(), 0);
}

TEST_F(MessageMakerWindowTest, ConfirmationIsInTheMessageThatIsMadeWithIt) {
  Serve({{"t", Dtype::kU8, {3 * kMiB}}});
  for (const bool checksums_only : {false, true}) {
    StreamPlan plan = PlanOfAll();
    plan.checksums_only = checksums_only;
    const std::unique_ptr<MessageMaker> source = SourceOf(std::move(plan), IoMode::kPread);
    for (const std::int64_t confirmed : {0, 5, 0, 1 << 20}) {
      if (source->done()) break;
      absl::StatusOr<Message> message = source->Next(confirmed);
      TF_ASSERT_OK(message);
      TF_ASSERT_OK_AND_ASSIGN(const wire::DecodedChunk chunk,
                              wire::DecodeChunk(message->bytes, checksums_only ? wire::StreamContent::kChecksums
                                                                               : wire::StreamContent::kData));
      EXPECT_EQ(chunk.head->has_confirmed_size_bytes(), confirmed > 0);
      EXPECT_EQ(chunk.head->confirmed_size_bytes(), confirmed);
      if (!checksums_only) {
        TF_EXPECT_OK(wire::VerifyChecksum(chunk));
      }
    }
  }
}

}  // namespace
}  // namespace tensorferry::server
