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

// Encodes a message of a stream: any of the four responses, which all are a Chunk in field 1. `head` is the chunk
// without its data and checksum; `data` are the pieces of the data, which are referred to, not copied, and live as long
// as their slices. `crc` is the checksum to send; without one, that of the data is computed here, if there is any.
grpc::ByteBuffer EncodeChunk(const v1::Chunk& head, std::span<const grpc::Slice> data,
                             std::optional<std::uint32_t> crc = std::nullopt);

// Returns the CRC-32C of the pieces, one after the other.
std::uint32_t Checksum(std::span<const grpc::Slice> data);

}  // namespace tensorferry::wire

#endif  // TENSORFERRY_LIB_WIRE_CHUNK_ENCODER_H_
