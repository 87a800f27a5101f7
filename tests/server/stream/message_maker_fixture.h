// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_SERVER_STREAM_MESSAGE_MAKER_FIXTURE_H_
#define TENSORFERRY_TESTS_SERVER_STREAM_MESSAGE_MAKER_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lib/checksum/crc32c.h"
#include "lib/files/block_cache.h"
#include "lib/wire/chunk_decoder.h"
#include "server/stream/message_maker.h"
#include "server/stream/stream_plan.h"
#include "tests/testing/random.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry::server {

// Where the bytes of a message belong: of the read `read`, those from `offset` on.
struct Place {
  std::size_t read = 0;
  std::int64_t offset = 0;
  std::int64_t size_bytes = 0;
  friend bool operator==(const Place&, const Place&) = default;
};

inline std::vector<Place> PlacesOf(const wire::DecodedChunk& chunk) {
  std::vector<Place> places;
  for (const v1::Segment& segment : chunk.head->segments()) {
    places.push_back({static_cast<std::size_t>(segment.read_index()), segment.result_offset(), segment.size_bytes()});
  }
  return places;
}

// The messages of a plan, taken apart and compared with the file.
class MessageMakerFixture : public ::testing::Test {
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

  // Runs a plan to its end, from the mapping and with pread, with its data and with its checksums alone; returns each
  // read's bytes.
  std::vector<std::string> Run(const StreamPlan& plan) {
    const std::vector<std::string> bytes = Run(plan, IoMode::kMmap);
    EXPECT_TRUE(Run(plan, IoMode::kPread) == bytes);
    for (const IoMode io : {IoMode::kMmap, IoMode::kPread}) RunChecksums(plan, io, bytes);
    return bytes;
  }

  std::vector<std::string> Run(StreamPlan plan, IoMode io) {
    std::vector<std::string> bytes(plan.reads.size());
    std::vector<std::int64_t> next;
    for (const PlannedRead& read : plan.reads) next.push_back(read.result_begin);
    const std::size_t reads = plan.reads.size();
    const auto in_flight = std::make_shared<InFlightBytes>();
    const auto released = std::make_shared<ReleasedWindows>();
    MessageMaker source(std::move(plan), io, BufferPool::Create(chunk_bytes_), in_flight);
    source.TrackWindows(released);
    std::int64_t data_bytes = 0;
    std::size_t results = 0;
    bool first = true;
    do {
      absl::StatusOr<Message> message = source.Next();
      EXPECT_TRUE(message.ok()) << message.status();
      const absl::StatusOr<wire::DecodedChunk> chunk = wire::DecodeChunk(message->bytes);
      EXPECT_TRUE(chunk.ok()) << chunk.status();
      EXPECT_TRUE(wire::VerifyChecksum(*chunk).ok());
      EXPECT_EQ(message->data_bytes, chunk->data_size_bytes);
      EXPECT_EQ(chunk->head->has_header(), std::exchange(first, false));
      EXPECT_EQ(in_flight->value(), chunk->data_size_bytes);
      results += static_cast<std::size_t>(chunk->head->results_size());
      EXPECT_TRUE(chunk->data_size_bytes == 0 || results == reads) << "data before all results";
      EXPECT_LE(chunk->data_size_bytes, static_cast<std::int64_t>(chunk_bytes_));
      data_bytes += chunk->data_size_bytes;
      std::string data;
      for (const auto piece : chunk->data) data += test::AsString(piece);
      std::size_t position = 0;
      for (const Place& place : PlacesOf(*chunk)) {
        EXPECT_EQ(place.offset, next.at(place.read)) << "the segments of a read come in order";
        next[place.read] += place.size_bytes;
        bytes[place.read] += data.substr(position, static_cast<std::size_t>(place.size_bytes));
        position += static_cast<std::size_t>(place.size_bytes);
      }
    } while (!source.done());
    EXPECT_EQ(results, reads);
    EXPECT_EQ(in_flight->value(), 0) << "nothing is in flight once the messages are gone";
    ExpectWindows(released->Take(), data_bytes);
    return bytes;
  }

  // Runs a plan for its checksums, which must be those of `bytes`: what each read asks for. Returns the places of each
  // message that has a checksum.
  std::vector<std::vector<Place>> RunChecksums(StreamPlan plan, IoMode io, const std::vector<std::string>& bytes) {
    plan.checksums_only = true;
    std::vector<std::int64_t> next;
    std::vector<std::int64_t> begins;
    std::vector<std::int64_t> ends;
    for (const PlannedRead& read : plan.reads) {
      next.push_back(read.result_begin);
      ends.push_back(read.result_end);
    }
    begins = next;
    const auto in_flight = std::make_shared<InFlightBytes>();
    const auto released = std::make_shared<ReleasedWindows>();
    std::vector<std::vector<Place>> places;
    std::set<std::size_t> begun;
    std::optional<std::size_t> current;
    int results = 0;
    {
      MessageMaker source(std::move(plan), io, BufferPool::Create(chunk_bytes_), in_flight);
      source.TrackWindows(released);
      bool first = true;
      do {
        EXPECT_FALSE(source.NextIsReady());
        absl::StatusOr<Message> message = source.Next();
        EXPECT_TRUE(message.ok()) << message.status();
        EXPECT_EQ(message->data_bytes, 0);
        EXPECT_EQ(in_flight->value(), 0) << "messages without data hold none";
        const absl::StatusOr<wire::DecodedChunk> chunk =
            wire::DecodeChunk(message->bytes, wire::StreamContent::kChecksums);
        EXPECT_TRUE(chunk.ok()) << chunk.status();
        EXPECT_EQ(chunk->head->has_header(), std::exchange(first, false));
        EXPECT_EQ(chunk->head->has_crc32c(), chunk->head->segments_size() > 0);
        results += chunk->head->results_size();
        if (chunk->head->segments().empty()) continue;
        EXPECT_EQ(results, static_cast<int>(next.size())) << "checksums before all results";
        std::uint32_t crc = 0;
        for (const Place& place : PlacesOf(*chunk)) {
          if (current != place.read) {
            EXPECT_TRUE(begun.insert(place.read).second) << "the segments of a read follow each other";
          }
          current = place.read;
          EXPECT_EQ(place.offset, next.at(place.read)) << "the segments of a read come in order";
          const auto begin = static_cast<std::size_t>(place.offset - begins.at(place.read));
          const std::string part = bytes.at(place.read).substr(begin, static_cast<std::size_t>(place.size_bytes));
          EXPECT_EQ(static_cast<std::int64_t>(part.size()), place.size_bytes);
          crc = Crc32c(test::AsBytes(part), crc);
          next[place.read] += place.size_bytes;
        }
        EXPECT_EQ(chunk->head->crc32c(), crc);
        places.push_back(PlacesOf(*chunk));
      } while (!source.done());
    }
    EXPECT_EQ(results, static_cast<int>(next.size()));
    EXPECT_EQ(next, ends);
    ExpectWindows(released->Take(), 0);
    return places;
  }

  // The windows that were released cover `data_bytes` bytes of a stream, each once.
  void ExpectWindows(const std::vector<Window>& windows, std::int64_t data_bytes) const {
    constexpr std::int64_t kMinWindowBytes = 8 << 20;
    ASSERT_FALSE(windows.empty());
    std::int64_t end = 0;
    for (std::size_t i = 0; i < windows.size(); ++i) {
      const Window& window = windows[i];
      EXPECT_EQ(window.index, static_cast<std::int64_t>(i));
      EXPECT_EQ(window.is_last, i + 1 == windows.size()) << i;
      const std::int64_t size_bytes = window.end_bytes - std::exchange(end, window.end_bytes);
      if (data_bytes > 0) {
        EXPECT_GT(size_bytes, 0) << i;
        EXPECT_FALSE(window.files.empty()) << i;
      }
      if (!window.is_last) {
        EXPECT_GE(size_bytes, kMinWindowBytes) << i;
      }
      EXPECT_LT(size_bytes, kMinWindowBytes + static_cast<std::int64_t>(chunk_bytes_)) << i;
    }
    EXPECT_EQ(end, data_bytes);
  }

  std::size_t chunk_bytes_ = 64 << 10;
  test::Random random_;
  test::TempDir directory_;
  std::vector<test::TensorSpec> tensors_;
  std::string data_;
  std::shared_ptr<const Model> model_;
};

// A read of a tensor's bytes from `offset` on: all of them, or at most `limit`.
inline v1::Read ReadOf(const std::string& tensor, std::int64_t offset = 0,
                       std::optional<std::int64_t> limit = std::nullopt) {
  v1::Read read;
  read.set_tensor(tensor);
  read.set_read_offset(offset);
  if (limit) read.set_read_limit(*limit);
  return read;
}

}  // namespace tensorferry::server

#endif  // TENSORFERRY_TESTS_SERVER_STREAM_MESSAGE_MAKER_FIXTURE_H_
