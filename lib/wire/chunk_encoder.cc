// SPDX-License-Identifier: Apache-2.0
#include "lib/wire/chunk_encoder.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lib/checksum/crc32c.h"

namespace tensorferry::wire {
namespace {

using google::protobuf::io::CodedOutputStream;

constexpr std::uint32_t kLengthDelimited = 2;
constexpr std::uint32_t kFixed32 = 5;

constexpr std::uint32_t Tag(int field, std::uint32_t wire_type) {
  return static_cast<std::uint32_t>(field) << 3 | wire_type;
}

// All responses have the chunk in the same field, so that one encoding serves all of them.
constexpr int kChunkField = v1::GetTensorResponse::kChunkFieldNumber;
static_assert(int{v1::GetSliceResponse::kChunkFieldNumber} == kChunkField);
static_assert(int{v1::GetTensorsResponse::kChunkFieldNumber} == kChunkField);
static_assert(int{v1::GetFileResponse::kChunkFieldNumber} == kChunkField);
constexpr std::uint32_t kChunkTag = Tag(kChunkField, kLengthDelimited);
constexpr std::uint32_t kChecksumTag = Tag(v1::Chunk::kCrc32CFieldNumber, kFixed32);
constexpr std::uint32_t kDataTag = Tag(v1::Chunk::kDataFieldNumber, kLengthDelimited);

}  // namespace

std::uint32_t Checksum(std::span<const grpc::Slice> data) {
  std::uint32_t crc = 0;
  for (const grpc::Slice& piece : data) {
    crc = Crc32c({reinterpret_cast<const std::byte*>(piece.begin()), piece.size()}, crc);
  }
  return crc;
}

grpc::ByteBuffer EncodeChunk(const v1::Chunk& head, std::span<const grpc::Slice> data,
                             std::optional<std::uint32_t> crc) {
  std::size_t data_size = 0;
  for (const grpc::Slice& piece : data) data_size += piece.size();
  if (!crc && data_size > 0) crc = Checksum(data);

  std::size_t chunk_size = head.ByteSizeLong();
  if (crc) chunk_size += CodedOutputStream::VarintSize32(kChecksumTag) + sizeof(*crc);
  if (data_size > 0) {
    chunk_size += CodedOutputStream::VarintSize32(kDataTag) + CodedOutputStream::VarintSize64(data_size) + data_size;
  }
  const std::size_t prefix_size =
      CodedOutputStream::VarintSize32(kChunkTag) + CodedOutputStream::VarintSize64(chunk_size) + chunk_size - data_size;
  std::vector<grpc::Slice> slices;
  slices.reserve(1 + data.size());
  slices.emplace_back(prefix_size);
  // A slice that owns its memory and is not shared yet may be written to.
  auto* prefix = const_cast<std::uint8_t*>(slices.front().begin());
  google::protobuf::io::ArrayOutputStream array(prefix, static_cast<int>(prefix_size));
  CodedOutputStream out(&array);
  out.WriteTag(kChunkTag);
  out.WriteVarint64(chunk_size);
  head.SerializeWithCachedSizes(&out);
  if (crc) {
    out.WriteTag(kChecksumTag);
    out.WriteLittleEndian32(*crc);
  }
  if (data_size > 0) {
    out.WriteTag(kDataTag);
    out.WriteVarint64(data_size);
  }
  out.Trim();
  slices.insert(slices.end(), data.begin(), data.end());
  return grpc::ByteBuffer(slices.data(), slices.size());
}

}  // namespace tensorferry::wire
