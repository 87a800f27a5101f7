// SPDX-License-Identifier: Apache-2.0
#include "lib/wire/chunk_decoder.h"

#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <algorithm>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "lib/checksum/crc32c.h"

namespace tensorferry::wire {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;

constexpr std::uint32_t Tag(int field, WireFormatLite::WireType type) { return WireFormatLite::MakeTag(field, type); }
constexpr auto kBytes = WireFormatLite::WIRETYPE_LENGTH_DELIMITED;

// Reads the next length-delimited field as spans of the message's pieces.
bool ReadData(CodedInputStream& in, DecodedChunk& chunk) {
  int remaining = 0;
  if (!in.ReadVarintSizeAsInt(&remaining)) return false;
  chunk.data_size_bytes = remaining;
  while (remaining > 0) {
    const void* piece = nullptr;
    int size = 0;
    if (!in.GetDirectBufferPointer(&piece, &size)) return false;
    size = std::min(size, remaining);
    chunk.data.emplace_back(static_cast<const std::byte*>(piece), static_cast<std::size_t>(size));
    in.Skip(size);
    remaining -= size;
  }
  return true;
}

// Copies all fields but the data together and parses them at once. Parsing field by field costs more than the copy.
bool ReadChunk(CodedInputStream& in, DecodedChunk& chunk) {
  std::string head;
  {
    google::protobuf::io::StringOutputStream stream(&head);
    CodedOutputStream out(&stream);
    bool has_data = false;
    while (const std::uint32_t tag = in.ReadTag()) {
      if (tag != Tag(v1::Chunk::kDataFieldNumber, kBytes)) {
        if (!WireFormatLite::SkipField(&in, tag, &out)) return false;
        // Protobuf allows a repeated field, whose last value counts. The contract does not.
      } else if (std::exchange(has_data, true) || !ReadData(in, chunk)) {
        return false;
      }
    }
  }
  return chunk.head->ParseFromString(head);
}

// Reads any of the four responses: all have the chunk in the same field.
bool ReadResponse(CodedInputStream& in, DecodedChunk& chunk) {
  bool has_chunk = false;
  while (const std::uint32_t tag = in.ReadTag()) {
    if (tag != Tag(v1::GetTensorResponse::kChunkFieldNumber, kBytes)) {
      if (!WireFormatLite::SkipField(&in, tag)) return false;
      continue;
    }
    int size = 0;
    if (std::exchange(has_chunk, true) || !in.ReadVarintSizeAsInt(&size)) return false;
    const CodedInputStream::Limit limit = in.PushLimit(size);
    if (!ReadChunk(in, chunk) || !in.ConsumedEntireMessage() || in.BytesUntilLimit() != 0) return false;
    in.PopLimit(limit);
  }
  return has_chunk && in.ConsumedEntireMessage();
}

absl::Status CheckSegments(const DecodedChunk& chunk, StreamContent content) {
  if (chunk.head->segments_size() > 0 && !chunk.head->has_crc32c()) {
    return absl::DataLossError("a chunk without a checksum");
  }
  if (content == StreamContent::kChecksums) {
    if (chunk.data_size_bytes > 0) return absl::DataLossError("data where only checksums were requested");
    for (const v1::Segment& segment : chunk.head->segments()) {
      if (segment.size_bytes() < 1) return absl::DataLossError("an empty segment");
    }
    return absl::OkStatus();
  }
  std::int64_t left = chunk.data_size_bytes;
  for (const v1::Segment& segment : chunk.head->segments()) {
    if (segment.size_bytes() < 1 || segment.size_bytes() > left) {
      return absl::DataLossError(
          fmt::format("a segment of {} bytes where {} bytes of data are left", segment.size_bytes(), left));
    }
    left -= segment.size_bytes();
  }
  if (left == 0) return absl::OkStatus();
  return absl::DataLossError(fmt::format("{} bytes of data belong to no segment", left));
}

}  // namespace

absl::StatusOr<DecodedChunk> DecodeChunk(grpc::ByteBuffer& message, StreamContent content) {
  DecodedChunk chunk;
  {
    grpc::ProtoBufferReader reader(&message);
    if (!reader.status().ok()) return absl::DataLossError("a message of the stream cannot be read");
    CodedInputStream in(&reader);
    if (!ReadResponse(in, chunk)) return absl::DataLossError("a message of the stream is not a chunk");
  }
  if (absl::Status status = CheckSegments(chunk, content); !status.ok()) return status;
  return chunk;
}

absl::Status CompareChecksum(const DecodedChunk& chunk, std::uint32_t crc) {
  if (crc == chunk.head->crc32c()) return absl::OkStatus();
  return absl::DataLossError(
      fmt::format("checksum mismatch: {} bytes of data have crc32c {:08x}, the server sent {:08x}",
                  chunk.data_size_bytes, crc, chunk.head->crc32c()));
}

absl::Status VerifyChecksum(const DecodedChunk& chunk) {
  std::uint32_t crc = 0;
  for (const std::span<const std::byte> piece : chunk.data) crc = Crc32c(piece, crc);
  return CompareChecksum(chunk, crc);
}

}  // namespace tensorferry::wire
