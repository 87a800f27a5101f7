// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SAFETENSORS_WRITER_H_
#define TENSORFERRY_SAFETENSORS_WRITER_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tensorferry/dtype.h"
#include "tensorferry/safetensors/header.h"

namespace tensorferry::safetensors {

// A tensor to write. The data is dense and row-major. The caller owns it and must keep it until the write returns.
struct TensorToWrite {
  std::string name;
  Dtype dtype = Dtype::kU8;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;
};

// Writes a safetensors file that the reference and Header::Parse accept.
// - Tensors are ordered by width of dtype, widest first, and then by name.
// - The header is padded with spaces, so that the data begins at a multiple of 64.
// - The file appears under its name only when it is complete and on disk: it is written to a temporary file in the same
//   directory, synced and renamed.
// Errors: INVALID_ARGUMENT: the size of a tensor's data does not match its dtype and shape, a name is a duplicate, or
// Header::Parse refuses the header for another reason. FAILED_PRECONDITION: `path` exists and is not a regular file.
// Otherwise those of the operating system, with the path.
absl::Status WriteFile(const std::string& path, std::span<const TensorToWrite> tensors, const Metadata& metadata = {});

// Returns the bytes before the data of a file with this single tensor, as WriteFile writes them. The caller writes the
// `size_bytes` of data after them. Errors: INVALID_ARGUMENT: Header::Parse refuses the header.
absl::StatusOr<std::string> EncodeFileHead(std::string_view name, Dtype dtype, std::span<const std::int64_t> shape,
                                           std::int64_t size_bytes);

}  // namespace tensorferry::safetensors

#endif  // TENSORFERRY_SAFETENSORS_WRITER_H_
