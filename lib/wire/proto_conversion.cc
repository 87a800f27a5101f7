// SPDX-License-Identifier: Apache-2.0
#include "lib/wire/proto_conversion.h"

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "lib/tensor/checked_math.h"
#include "lib/text/quote.h"

namespace tensorferry::wire {

v1::Slice ToProto(const SliceSpec& spec) {
  v1::Slice slice;
  for (const DimensionSlice& dimension : spec.dimensions) {
    v1::DimensionSlice& added = *slice.add_dimensions();
    if (const auto* index = std::get_if<Index>(&dimension)) {
      added.set_index(index->value);
      continue;
    }
    const Range& from = std::get<Range>(dimension);
    v1::Range& range = *added.mutable_range();
    if (from.start) range.set_start(*from.start);
    if (from.stop) range.set_stop(*from.stop);
    if (from.step != 1) range.set_step(from.step);
  }
  return slice;
}

absl::StatusOr<SliceSpec> FromProto(const v1::Slice& slice) {
  SliceSpec spec;
  for (const v1::DimensionSlice& dimension : slice.dimensions()) {
    switch (dimension.kind_case()) {
      case v1::DimensionSlice::kIndex:
        spec.dimensions.push_back(Index{dimension.index()});
        break;
      case v1::DimensionSlice::kRange: {
        Range range;
        if (dimension.range().has_start()) range.start = dimension.range().start();
        if (dimension.range().has_stop()) range.stop = dimension.range().stop();
        if (dimension.range().has_step()) range.step = dimension.range().step();
        spec.dimensions.push_back(range);
        break;
      }
      case v1::DimensionSlice::KIND_NOT_SET:
        return absl::InvalidArgumentError(
            fmt::format("dimension {}: neither an index nor a range is set", spec.dimensions.size()));
    }
  }
  return spec;
}

v1::Tensor ToProto(const TensorInfo& tensor) {
  v1::Tensor proto;
  proto.set_name(tensor.name);
  proto.set_dtype(std::string(DtypeName(tensor.dtype)));
  proto.mutable_shape()->Add(tensor.shape.begin(), tensor.shape.end());
  proto.set_size_bytes(tensor.size_bytes);
  proto.set_file(tensor.file);
  proto.set_file_offset(tensor.file_offset);
  return proto;
}

absl::StatusOr<TensorInfo> FromProto(const v1::Tensor& tensor) {
  const std::optional<Dtype> dtype = ParseDtype(tensor.dtype());
  if (!dtype) {
    return absl::UnimplementedError(
        fmt::format("tensor {}: unknown dtype {}; use a newer client", Quote(tensor.name()), Quote(tensor.dtype())));
  }
  const std::optional<std::uint64_t> bits =
      CheckedBits(*dtype, {tensor.shape().data(), static_cast<std::size_t>(tensor.shape_size())});
  if (!bits || *bits % 8 != 0 || *bits / 8 != static_cast<std::uint64_t>(tensor.size_bytes()) ||
      tensor.size_bytes() < 0) {
    return absl::DataLossError(
        fmt::format("tensor {}: the server sent a size of {} bytes, which does not match {} and shape [{}]",
                    Quote(tensor.name()), tensor.size_bytes(), tensor.dtype(), fmt::join(tensor.shape(), ", ")));
  }
  return TensorInfo{.name = tensor.name(),
                    .dtype = *dtype,
                    .shape = {tensor.shape().begin(), tensor.shape().end()},
                    .size_bytes = tensor.size_bytes(),
                    .file = tensor.file(),
                    .file_offset = tensor.file_offset()};
}

}  // namespace tensorferry::wire
