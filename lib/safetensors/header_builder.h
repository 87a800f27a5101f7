// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_SAFETENSORS_HEADER_BUILDER_H_
#define TENSORFERRY_LIB_SAFETENSORS_HEADER_BUILDER_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "tensorferry/safetensors/header.h"

namespace tensorferry::safetensors {

// Collects a header's tensors as they are read, and checks the rules for all of them together.
class HeaderBuilder {
 public:
  // `names_bytes` is a guess at the size of all names.
  explicit HeaderBuilder(std::size_t names_bytes) { header_.names_.reserve(names_bytes); }

  std::int64_t tensor_count() const { return static_cast<std::int64_t>(header_.entries_.size()); }
  Metadata& metadata() { return header_.metadata_; }

  // Adds a tensor. The shape's dimensions must not be negative; begin and end are the header's, unchecked.
  // Errors: DATA_LOSS: the range is outside the data buffer, or its size is not that of dtype and shape.
  absl::Status Add(std::string_view name, Dtype dtype, std::span<const std::int64_t> shape, std::uint64_t begin,
                   std::uint64_t end, std::int64_t data_size_bytes);

  // Returns the header of all tensors. Errors: DATA_LOSS: a duplicate name, or the tensors do not tile the data buffer.
  absl::StatusOr<Header> Build(std::int64_t data_size_bytes) &&;

 private:
  absl::Status OrderByName();
  absl::Status OrderByOffset(std::int64_t data_size_bytes);

  Header header_;
};

}  // namespace tensorferry::safetensors

#endif  // TENSORFERRY_LIB_SAFETENSORS_HEADER_BUILDER_H_
