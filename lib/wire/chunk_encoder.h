// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_WIRE_CHUNK_ENCODER_H_
#define TENSORFERRY_LIB_WIRE_CHUNK_ENCODER_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstdint>
#include <optional>
#include <span>

#include "tensorferry/v1/tensor_service.pb.h"

namespace tensorferry::wire {

// Encodes a message of a stream. The result is valid as any of the four responses: each is a Chunk in field 1.
//   head   the chunk without its data and checksum
//   data   the pieces of the data; the message refers to these slices and does not copy them
//   crc    the checksum to send; if absent, the checksum of the data, if there is data
grpc::ByteBuffer EncodeChunk(const v1::Chunk& head, std::span<const grpc::Slice> data,
                             std::optional<std::uint32_t> crc = std::nullopt);

// Returns the CRC-32C of the concatenated pieces.
std::uint32_t Checksum(std::span<const grpc::Slice> data);

}  // namespace tensorferry::wire

#endif  // TENSORFERRY_LIB_WIRE_CHUNK_ENCODER_H_
