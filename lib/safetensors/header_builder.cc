// SPDX-License-Identifier: Apache-2.0
#include "lib/safetensors/header_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "lib/tensor/checked_math.h"
#include "tensorferry/quote.h"

namespace tensorferry::safetensors {

absl::Status HeaderBuilder::Add(std::string_view name, Dtype dtype, std::span<const std::int64_t> shape,
                                std::uint64_t begin, std::uint64_t end, std::int64_t data_size_bytes) {
  const auto error = [&](std::string_view reason) {
    return absl::DataLossError(fmt::format("tensor {}: {}", Quote(name), reason));
  };
  if (begin > end) return error(fmt::format("data_offsets [{}, {}] end before they begin", begin, end));
  if (end > static_cast<std::uint64_t>(data_size_bytes)) {
    return error(fmt::format("data_offsets [{}, {}] exceed the data buffer of {} bytes", begin, end, data_size_bytes));
  }
  const std::optional<std::uint64_t> bits = CheckedBits(dtype, shape);
  if (!bits) return error("the size that its shape says does not fit into 64 bits");
  if (*bits % 8 != 0) return error(fmt::format("its {} bits are not a whole number of bytes", *bits));
  if (*bits / 8 != end - begin) {
    return error(fmt::format("data_offsets [{}, {}] hold {} bytes, dtype {} and shape [{}] say {}", begin, end,
                             end - begin, DtypeName(dtype), fmt::join(shape, ", "), *bits / 8));
  }
  header_.entries_.push_back({.begin = static_cast<std::int64_t>(begin),
                              .end = static_cast<std::int64_t>(end),
                              .name_offset = static_cast<std::uint32_t>(header_.names_.size()),
                              .shape_offset = static_cast<std::uint32_t>(header_.shapes_.size()),
                              .name_size = static_cast<std::uint32_t>(name.size()),
                              .rank = static_cast<std::uint16_t>(shape.size()),
                              .dtype = dtype});
  header_.names_ += name;
  header_.shapes_.insert(header_.shapes_.end(), shape.begin(), shape.end());
  return absl::OkStatus();
}

absl::StatusOr<Header> HeaderBuilder::Build(std::int64_t data_size_bytes) && {
  header_.data_size_bytes_ = data_size_bytes;
  if (absl::Status status = OrderByName(); !status.ok()) return status;
  if (absl::Status status = OrderByOffset(data_size_bytes); !status.ok()) return status;
  header_.names_.shrink_to_fit();
  header_.shapes_.shrink_to_fit();
  header_.entries_.shrink_to_fit();
  return std::move(header_);
}

absl::Status HeaderBuilder::OrderByName() {
  const auto name = [this](const Header::Entry& entry) {
    return std::string_view(header_.names_).substr(entry.name_offset, entry.name_size);
  };
  std::ranges::sort(header_.entries_, {}, name);
  const auto twice = std::ranges::adjacent_find(header_.entries_, {}, name);
  if (twice == header_.entries_.end()) return absl::OkStatus();
  return absl::DataLossError(fmt::format("tensor {} is there twice", Quote(name(*twice))));
}

absl::Status HeaderBuilder::OrderByOffset(std::int64_t data_size_bytes) {
  header_.by_offset_.resize(header_.entries_.size());
  std::iota(header_.by_offset_.begin(), header_.by_offset_.end(), 0U);
  std::ranges::sort(header_.by_offset_, {},
                    [this](std::uint32_t i) { return std::pair(header_.entries_[i].begin, header_.entries_[i].end); });
  std::int64_t covered = 0;
  for (std::size_t i = 0; i < header_.tensor_count(); ++i) {
    const TensorView tensor = header_.tensor_by_offset(i);
    if (tensor.begin != covered) {
      return absl::DataLossError(fmt::format("tensor {} begins at {}, {} the tensor before it, which ends at {}",
                                             Quote(tensor.name), tensor.begin,
                                             tensor.begin < covered ? "inside" : "leaving a hole behind", covered));
    }
    covered = tensor.end;
  }
  if (covered == data_size_bytes) return absl::OkStatus();
  return absl::DataLossError(
      fmt::format("the tensors end at {}, the data buffer has {} bytes", covered, data_size_bytes));
}

}  // namespace tensorferry::safetensors
