// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_WIRE_CHUNK_DECODER_H_
#define TENSORFERRY_LIB_WIRE_CHUNK_DECODER_H_

#include <google/protobuf/arena.h>
#include <grpcpp/support/byte_buffer.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tensorferry/v1/tensor_service.pb.h"

namespace tensorferry::wire {

// A message of a stream, decoded without copying its data, which its segments cover.
struct DecodedChunk {
  // Where the head lives: that of many small tensors has thousands of parts, which are neither freed one by one.
  std::unique_ptr<google::protobuf::Arena> arena = std::make_unique<google::protobuf::Arena>();
  // Everything but the data.
  v1::Chunk* head = google::protobuf::Arena::CreateMessage<v1::Chunk>(arena.get());
  // The pieces of the data, in order; they point into the message and live as long as it does.
  std::vector<std::span<const std::byte>> data;
  std::int64_t data_size_bytes = 0;
};

// The forms of a stream: with the data, or with the checksums alone.
enum class StreamContent : char { kData, kChecksums };

// Decodes a message of a stream, which comes from an untrusted peer. Skips unknown fields. Does not compute checksums:
// the caller does so while it copies the data. Errors: DATA_LOSS: the message is not a response, or it has segments and
// no checksum, or a segment is empty, or the segments do not add up to the data (kData), or there is data (kChecksums).
absl::StatusOr<DecodedChunk> DecodeChunk(grpc::ByteBuffer& message, StreamContent content = StreamContent::kData);

// Compares `crc`, computed over all of the data, with the checksum that its sender computed. Errors: DATA_LOSS.
absl::Status CompareChecksum(const DecodedChunk& chunk, std::uint32_t crc);

// Computes the checksum of the data, and compares it. Errors: DATA_LOSS.
absl::Status VerifyChecksum(const DecodedChunk& chunk);

}  // namespace tensorferry::wire

#endif  // TENSORFERRY_LIB_WIRE_CHUNK_DECODER_H_
