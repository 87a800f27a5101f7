// SPDX-License-Identifier: Apache-2.0
// Tests the encoder and the decoder against each other and against the generated classes.
#include <gmock/gmock.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/checksum/crc32c.h"
#include "lib/wire/chunk_decoder.h"
#include "lib/wire/chunk_encoder.h"
#include "tensorferry/v1/tensor_service.pb.h"
#include "tests/testing/random.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry::wire {
namespace {

using test::AsBytes;
using test::StatusIs;
using ::testing::HasSubstr;

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

std::string Flatten(const grpc::ByteBuffer& message) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(message.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

// Returns a message that arrives in pieces of `piece_bytes`.
grpc::ByteBuffer InPieces(std::string_view bytes, std::size_t piece_bytes) {
  std::vector<grpc::Slice> slices;
  for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), piece_bytes))) {
    const std::string_view piece = bytes.substr(0, piece_bytes);
    slices.emplace_back(piece.data(), piece.size());
  }
  return {slices.data(), slices.size()};
}

std::string DataOf(const DecodedChunk& chunk) {
  std::string data;
  for (const auto piece : chunk.data) data += test::AsString(piece);
  return data;
}

v1::Chunk Head(std::int64_t first_bytes, std::int64_t second_bytes) {
  v1::Chunk head;
  head.mutable_header()->set_generation("g1");
  head.mutable_header()->set_read_count(2);
  head.add_results()->set_name("a");
  head.add_results()->set_name("b");
  for (const std::int64_t bytes : {first_bytes, second_bytes}) {
    v1::Segment& segment = *head.add_segments();
    segment.set_read_index(head.segments_size() - 1);
    segment.set_size_bytes(bytes);
  }
  return head;
}

grpc::ByteBuffer Encode(const v1::Chunk& head, const std::vector<std::string>& data) {
  std::vector<grpc::Slice> slices;
  for (const std::string& piece : data) slices.emplace_back(piece);
  return EncodeChunk(head, slices);
}

TEST(ChunkTest, EncodedChunkIsReadByTheGeneratedClasses) {
  const std::string bytes = Flatten(Encode(Head(5, 7), {"hello", " wo", "rld!"}));
  v1::GetTensorsResponse response;
  ASSERT_TRUE(response.ParseFromString(bytes));
  EXPECT_EQ(response.chunk().data(), "hello world!");
  EXPECT_EQ(response.chunk().crc32c(), Crc32c(AsBytes("hello world!")));
  EXPECT_EQ(response.chunk().header().generation(), "g1");
  EXPECT_EQ(response.chunk().segments_size(), 2);
  EXPECT_EQ(response.SerializeAsString(), bytes) << "the canonical encoding, too";
  for (google::protobuf::Message* other : std::initializer_list<google::protobuf::Message*>{
           new v1::GetTensorResponse, new v1::GetSliceResponse, new v1::GetFileResponse}) {
    EXPECT_TRUE(other->ParseFromString(bytes));
    EXPECT_EQ(other->SerializeAsString(), bytes);
    delete other;
  }
}

TEST(ChunkTest, ChecksumOfZeroIsSent) {
  const std::string data("\xab\x9b\xe0\x9b", 4);
  ASSERT_EQ(Crc32c(AsBytes(data)), 0U);
  v1::GetTensorResponse response;
  ASSERT_TRUE(response.ParseFromString(Flatten(Encode(Head(3, 1), {data}))));
  EXPECT_TRUE(response.chunk().has_crc32c());
  EXPECT_EQ(response.chunk().crc32c(), 0U);
  grpc::ByteBuffer message = Encode(Head(3, 1), {data});
  TF_ASSERT_OK_AND_ASSIGN(const DecodedChunk chunk, DecodeChunk(message));
  TF_EXPECT_OK(VerifyChecksum(chunk));
}

TEST(ChunkTest, MessageWithoutDataHasNoChecksum) {
  v1::Chunk head;
  head.mutable_header()->set_generation("g1");
  head.set_confirmed_size_bytes(5);
  for (const std::vector<std::string>& data : {std::vector<std::string>{}, {""}, {"", ""}}) {
    v1::GetTensorResponse response;
    ASSERT_TRUE(response.ParseFromString(Flatten(Encode(head, data))));
    EXPECT_FALSE(response.chunk().has_crc32c());
    EXPECT_EQ(response.chunk().SerializeAsString(), head.SerializeAsString());
  }
}

TEST(ChunkTest, GivenChecksumIsSentWithDataAndWithout) {
  const grpc::Slice data("hello world!");
  for (const std::uint32_t crc : {0U, 1U, 0xFFFFFFFFU}) {
    for (const std::span<const grpc::Slice> pieces : {std::span<const grpc::Slice>(), std::span(&data, 1)}) {
      v1::Chunk head = Head(5, 7);
      head.set_confirmed_size_bytes(1 << 30);
      v1::GetTensorResponse response;
      ASSERT_TRUE(response.ParseFromString(Flatten(EncodeChunk(head, pieces, crc))));
      ASSERT_TRUE(response.chunk().has_crc32c());
      EXPECT_EQ(response.chunk().crc32c(), crc);
      EXPECT_EQ(response.chunk().data(), pieces.empty() ? "" : "hello world!");
      response.mutable_chunk()->clear_crc32c();
      response.mutable_chunk()->clear_data();
      EXPECT_EQ(response.chunk().SerializeAsString(), head.SerializeAsString()) << "the other fields are unchanged";
    }
  }
}

TEST(ChunkTest, ChecksumOfPiecesIsThatOfTheWhole) {
  const std::vector<grpc::Slice> pieces = {grpc::Slice("hello"), grpc::Slice(), grpc::Slice(" wo"),
                                           grpc::Slice("rld!")};
  EXPECT_EQ(Checksum(pieces), Crc32c(AsBytes("hello world!")));
  EXPECT_EQ(Checksum({}), 0U);
}

TEST(ChunkTest, DataIsReferencedAndNotCopied) {
  const std::string data(100'000, 'x');
  const grpc::Slice slice(data.data(), data.size(), grpc::Slice::STATIC_SLICE);
  grpc::ByteBuffer message = EncodeChunk(v1::Chunk(), std::span(&slice, 1));
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(message.Dump(&slices).ok());
  ASSERT_EQ(slices.size(), 2U);
  EXPECT_EQ(reinterpret_cast<const char*>(slices[1].begin()), data.data());
}

TEST(ChunkTest, MessageInPiecesOfAnySizeIsDecoded) {
  const std::string bytes = Flatten(Encode(Head(5, 7), {"hello", " world!"}));
  for (std::size_t piece = 1; piece <= bytes.size(); ++piece) {
    grpc::ByteBuffer message = InPieces(bytes, piece);
    TF_ASSERT_OK_AND_ASSIGN(const DecodedChunk chunk, DecodeChunk(message));
    TF_EXPECT_OK(VerifyChecksum(chunk));
    EXPECT_EQ(DataOf(chunk), "hello world!");
    EXPECT_EQ(chunk.data_size_bytes, 12);
    EXPECT_EQ(chunk.head->results(1).name(), "b");
  }
}

TEST(ChunkTest, MessageOfTheGeneratedClassesIsDecoded) {
  v1::GetTensorResponse response;
  *response.mutable_chunk() = Head(1, 2);
  response.mutable_chunk()->set_data("abc");
  response.mutable_chunk()->set_crc32c(Crc32c(AsBytes("abc")));
  grpc::ByteBuffer message = InPieces(response.SerializeAsString(), 7);
  TF_ASSERT_OK_AND_ASSIGN(const DecodedChunk chunk, DecodeChunk(message));
  TF_EXPECT_OK(VerifyChecksum(chunk));
  EXPECT_EQ(DataOf(chunk), "abc");
}

TEST(ChunkTest, ChunkWithoutDataIsDecoded) {
  v1::Chunk head;
  head.mutable_header()->set_generation("g");
  grpc::ByteBuffer message = Encode(head, {});
  TF_ASSERT_OK_AND_ASSIGN(const DecodedChunk chunk, DecodeChunk(message));
  TF_EXPECT_OK(VerifyChecksum(chunk));
  EXPECT_EQ(chunk.data_size_bytes, 0);
  EXPECT_TRUE(chunk.head->has_header());
}

TEST(ChunkTest, UnknownFieldsAreSkipped) {
  std::string chunk = Head(1, 2).SerializeAsString();
  chunk += std::string("\x7a\x03\x61\x62\x63", 5);  // data, field 15
  chunk += std::string("\xaa\x06\x02\x68\x69", 5);  // field 101
  v1::Chunk crc;
  crc.set_crc32c(Crc32c(AsBytes("abc")));
  chunk += crc.SerializeAsString();
  const std::string bytes = std::string("\x10\x01\x0a", 3) + static_cast<char>(chunk.size()) + chunk;
  grpc::ByteBuffer message = InPieces(bytes, 1000);
  TF_ASSERT_OK_AND_ASSIGN(const DecodedChunk decoded, DecodeChunk(message));
  TF_EXPECT_OK(VerifyChecksum(decoded));
  EXPECT_EQ(DataOf(decoded), "abc");
}

TEST(ChunkTest, EveryTruncationIsRefused) {
  const std::string bytes = Flatten(Encode(Head(5, 7), {"hello", " world!"}));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    grpc::ByteBuffer message = InPieces(std::string_view(bytes).substr(0, size), 5);
    EXPECT_THAT(DecodeChunk(message), StatusIs(kDataLoss)) << size;
  }
}

TEST(ChunkTest, EveryFlippedBitOfTheDataIsAChecksumMismatch) {
  const std::string data = test::Random().Bytes(64);
  const std::string bytes = Flatten(Encode(Head(32, 32), {data}));
  for (std::size_t bit = (bytes.size() - data.size()) * 8; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    grpc::ByteBuffer message = InPieces(flipped, 16);
    TF_ASSERT_OK_AND_ASSIGN(const DecodedChunk chunk, DecodeChunk(message));
    EXPECT_THAT(VerifyChecksum(chunk), StatusIs(kDataLoss, HasSubstr("checksum mismatch"))) << bit;
  }
}

TEST(ChunkTest, SegmentsThatDoNotCoverTheDataAreRefused) {
  for (const auto& [first, second] : {std::pair{5, 6}, {5, 8}, {0, 12}, {-1, 13}, {12, 0}, {13, 1}}) {
    grpc::ByteBuffer message = Encode(Head(first, second), {"hello world!"});
    EXPECT_THAT(DecodeChunk(message), StatusIs(kDataLoss, HasSubstr("segment"))) << first << " " << second;
  }
}

TEST(ChunkTest, SegmentsWithoutAChecksumAreRefused) {
  v1::GetTensorResponse response;
  *response.mutable_chunk() = Head(1, 2);
  grpc::ByteBuffer without_data = InPieces(response.SerializeAsString(), 7);
  EXPECT_THAT(DecodeChunk(without_data, StreamContent::kChecksums), StatusIs(kDataLoss, HasSubstr("checksum")));
  response.mutable_chunk()->set_data("abc");
  grpc::ByteBuffer with_data = InPieces(response.SerializeAsString(), 7);
  EXPECT_THAT(DecodeChunk(with_data), StatusIs(kDataLoss, HasSubstr("without a checksum")));
  response.mutable_chunk()->clear_segments();
  grpc::ByteBuffer nowhere = InPieces(response.SerializeAsString(), 7);
  EXPECT_THAT(DecodeChunk(nowhere), StatusIs(kDataLoss)) << "data without a segment";
}

TEST(ChunkTest, ChecksumsWithoutDataAreDecoded) {
  for (const std::uint32_t crc : {0U, 0x12345678U}) {
    for (const std::int64_t size : {std::int64_t{1}, std::int64_t{1} << 20, std::int64_t{1} << 62}) {
      grpc::ByteBuffer message = EncodeChunk(Head(size, 1), {}, crc);
      TF_ASSERT_OK_AND_ASSIGN(const DecodedChunk chunk, DecodeChunk(message, StreamContent::kChecksums));
      EXPECT_EQ(chunk.head->crc32c(), crc);
      EXPECT_EQ(chunk.head->segments(0).size_bytes(), size);
      EXPECT_EQ(chunk.data_size_bytes, 0);
      EXPECT_TRUE(chunk.data.empty());
      EXPECT_THAT(DecodeChunk(message), StatusIs(kDataLoss)) << "where data was requested";
    }
  }
}

TEST(ChunkTest, DataWhereChecksumsWereRequestedIsRefused) {
  grpc::ByteBuffer message = Encode(Head(5, 7), {"hello world!"});
  EXPECT_THAT(DecodeChunk(message, StreamContent::kChecksums), StatusIs(kDataLoss, HasSubstr("only checksums")));
  grpc::ByteBuffer nowhere = Encode(v1::Chunk(), {"a"});
  EXPECT_THAT(DecodeChunk(nowhere, StreamContent::kChecksums), StatusIs(kDataLoss, HasSubstr("only checksums")));
}

TEST(ChunkTest, EmptySegmentsAmongChecksumsAreRefused) {
  for (const auto& [first, second] : {std::pair{0, 1}, {1, 0}, {-1, 1}, {1, -1}}) {
    grpc::ByteBuffer message = EncodeChunk(Head(first, second), {}, 0);
    EXPECT_THAT(DecodeChunk(message, StreamContent::kChecksums), StatusIs(kDataLoss, HasSubstr("empty segment")));
  }
}

TEST(ChunkTest, MessageWithoutSegmentsIsDecodedAmongChecksums) {
  v1::Chunk head;
  head.set_confirmed_size_bytes(7);
  grpc::ByteBuffer message = EncodeChunk(head, {});
  TF_ASSERT_OK_AND_ASSIGN(const DecodedChunk chunk, DecodeChunk(message, StreamContent::kChecksums));
  EXPECT_EQ(chunk.head->confirmed_size_bytes(), 7);
  EXPECT_FALSE(chunk.head->has_crc32c());
}

TEST(ChunkTest, DuplicateDataIsRefused) {
  std::string chunk = Head(1, 2).SerializeAsString();
  chunk += std::string("\x7a\x03\x61\x62\x63\x7a\x03\x61\x62\x63", 10);
  const std::string bytes = std::string("\x0a") + static_cast<char>(chunk.size()) + chunk;
  grpc::ByteBuffer message = InPieces(bytes, 1000);
  EXPECT_THAT(DecodeChunk(message), StatusIs(kDataLoss, HasSubstr("not a chunk")));
}

TEST(ChunkTest, RandomBytesNeverDecodeToData) {
  test::Random random;
  for (int i = 0; i < 2000; ++i) {
    grpc::ByteBuffer message = InPieces(random.Bytes(random.Below(64)), 1 + random.Below(16));
    // Random bytes may be a valid message without data.
    for (const StreamContent content : {StreamContent::kData, StreamContent::kChecksums}) {
      const auto chunk = DecodeChunk(message, content);
      EXPECT_EQ(chunk.ok() ? chunk->data_size_bytes : 0, 0);
    }
  }
}

}  // namespace
}  // namespace tensorferry::wire
