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

// A message of a stream, taken apart without copying its data, which its segments cover.
struct DecodedChunk {
  // Where the head lives: that of many small tensors has thousands of parts, which are neither freed one by one.
  std::unique_ptr<google::protobuf::Arena> arena = std::make_unique<google::protobuf::Arena>();
  // Everything but the data.
  v1::Chunk* head = google::protobuf::Arena::CreateMessage<v1::Chunk>(arena.get());
  // The pieces of the data, in order; they point into the message and live as long as it does.
  std::vector<std::span<const std::byte>> data;
  std::int64_t data_size_bytes = 0;
};

// Decodes a message of a stream, which comes from an untrusted peer. Fields it does not know are skipped.
// Says nothing of the checksum: whoever copies the data may take it in the same pass. Errors: DATA_LOSS: the message is
// not a response, or its segments are empty, or do not add up to its data.
absl::StatusOr<DecodedChunk> DecodeChunk(grpc::ByteBuffer& message);

// Whether `crc`, taken of all of the data, is what its sender says. Errors: DATA_LOSS.
absl::Status CompareChecksum(const DecodedChunk& chunk, std::uint32_t crc);

// Takes the checksum of the data, and compares it. Errors: DATA_LOSS.
absl::Status VerifyChecksum(const DecodedChunk& chunk);

}  // namespace tensorferry::wire

#endif  // TENSORFERRY_LIB_WIRE_CHUNK_DECODER_H_
