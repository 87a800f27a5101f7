// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_SERVER_CHUNK_SOURCE_FIXTURE_H_
#define TENSORFERRY_TESTS_SERVER_CHUNK_SOURCE_FIXTURE_H_

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/wire/chunk_decoder.h"
#include "server/chunk_source.h"
#include "server/stream_plan.h"
#include "tests/testing/random.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry::server {

// What a plan turns into, taken apart again to be held against the file.
class ChunkSourceFixture : public ::testing::Test {
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
      EXPECT_TRUE(wire::VerifyChecksum(*chunk).ok());
      EXPECT_EQ(message->data_bytes, chunk->data_size_bytes);
      EXPECT_EQ(chunk->head->has_header(), std::exchange(first, false));
      EXPECT_EQ(pinned->value(), chunk->data_size_bytes);
      results += static_cast<std::size_t>(chunk->head->results_size());
      EXPECT_TRUE(chunk->data_size_bytes == 0 || results == reads) << "data before all results";
      EXPECT_LE(chunk->data_size_bytes, static_cast<std::int64_t>(chunk_bytes_));
      std::string data;
      for (const auto piece : chunk->data) data += test::AsString(piece);
      std::size_t position = 0;
      for (const v1::Segment& segment : chunk->head->segments()) {
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

inline v1::Read ReadOf(const std::string& tensor, std::int64_t offset = 0, std::int64_t limit = 0) {
  v1::Read read;
  read.set_tensor(tensor);
  read.set_read_offset(offset);
  read.set_read_limit(limit);
  return read;
}

}  // namespace tensorferry::server

#endif  // TENSORFERRY_TESTS_SERVER_CHUNK_SOURCE_FIXTURE_H_
