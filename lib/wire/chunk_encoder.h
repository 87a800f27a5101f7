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
// as their slices say. `crc` is the checksum of the data, if that is known; otherwise it is taken here.
grpc::ByteBuffer EncodeChunk(const v1::Chunk& head, std::span<const grpc::Slice> data,
                             std::optional<std::uint32_t> crc = std::nullopt);

}  // namespace tensorferry::wire

#endif  // TENSORFERRY_LIB_WIRE_CHUNK_ENCODER_H_
