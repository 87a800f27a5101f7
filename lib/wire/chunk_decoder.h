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

// A message of a stream, decoded without copying its data. Movable; not safe for concurrent use.
struct DecodedChunk {
  // Owns the head. The head of many small tensors has thousands of parts, which an arena frees at once.
  std::unique_ptr<google::protobuf::Arena> arena = std::make_unique<google::protobuf::Arena>();
  // All fields but the data.
  v1::Chunk* head = google::protobuf::Arena::CreateMessage<v1::Chunk>(arena.get());
  // The pieces of the data, in order. They point into the message and are valid while it exists.
  std::vector<std::span<const std::byte>> data;
  std::int64_t data_size_bytes = 0;
};

// The contents of a stream: the data, or checksums without data.
enum class StreamContent : char { kData, kChecksums };

// Decodes a message of a stream from an untrusted peer. Skips unknown fields. Does not verify the checksum: the caller
// computes it while it copies the data.
// Errors: DATA_LOSS, for a message that
// - is not a response
// - has segments but no checksum, or an empty segment
// - has segments that do not add up to the data (kData)
// - has data (kChecksums)
absl::StatusOr<DecodedChunk> DecodeChunk(grpc::ByteBuffer& message, StreamContent content = StreamContent::kData);

// Compares `crc`, computed over all data of the chunk, with the checksum that the server sent.
// Errors: DATA_LOSS if they differ.
absl::Status CompareChecksum(const DecodedChunk& chunk, std::uint32_t crc);

// Computes the checksum of the data and compares it as CompareChecksum does.
absl::Status VerifyChecksum(const DecodedChunk& chunk);

}  // namespace tensorferry::wire

#endif  // TENSORFERRY_LIB_WIRE_CHUNK_DECODER_H_
