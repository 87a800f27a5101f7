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

// A tensor to write. The caller owns the data, dense and row-major, and keeps it until the write returns.
struct TensorToWrite {
  std::string name;
  Dtype dtype = Dtype::kU8;
  std::vector<std::int64_t> shape;
  std::span<const std::byte> data;
};

// Writes a safetensors file that the reference and Header::Parse accept: tensors ordered by width of dtype (widest
// first) then name, the header padded with spaces so that the data begins at a multiple of 64. The file appears under
// its name only when it is complete and on disk: it is written beside it, fsynced and renamed.
// Errors: INVALID_ARGUMENT: a tensor whose data has not the size that its dtype and shape say, a name twice, or
// whatever else Header::Parse would refuse. Otherwise the error of the operating system, with the path.
absl::Status WriteFile(const std::string& path, std::span<const TensorToWrite> tensors, const Metadata& metadata = {});

// Returns the bytes that come before the data in a file that holds this tensor alone, as WriteFile writes them. The
// caller writes the data, of `size_bytes`. Errors: INVALID_ARGUMENT: Header::Parse would refuse the file.
absl::StatusOr<std::string> EncodeFileHead(std::string_view name, Dtype dtype, std::span<const std::int64_t> shape,
                                           std::int64_t size_bytes);

}  // namespace tensorferry::safetensors

#endif  // TENSORFERRY_SAFETENSORS_WRITER_H_
