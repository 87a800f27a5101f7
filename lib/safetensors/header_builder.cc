// SPDX-License-Identifier: Apache-2.0
#include "lib/safetensors/header_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lib/safetensors/name_order.h"
#include "lib/tensor/checked_math.h"
#include "lib/text/quote.h"

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
  return std::move(header_);
}

absl::Status HeaderBuilder::OrderByName() {
  std::vector<std::string_view> names;
  names.reserve(header_.entries_.size());
  for (std::size_t i = 0; i < header_.tensor_count(); ++i) names.push_back(header_.tensor(i).name);
  const std::vector<std::uint32_t> order = OrderOfNames(names);
  std::vector<Header::Entry> ordered;
  ordered.reserve(order.size());
  header_.by_offset_.resize(order.size());
  for (const std::uint32_t i : order) {
    // The order of the header: nearly always the order of the offsets too.
    header_.by_offset_[i] = static_cast<std::uint32_t>(ordered.size());
    ordered.push_back(header_.entries_[i]);
  }
  header_.entries_ = std::move(ordered);
  for (std::size_t i = 1; i < order.size(); ++i) {
    if (names[order[i]] != names[order[i - 1]]) continue;
    return absl::DataLossError(fmt::format("duplicate tensor {}", Quote(names[order[i]])));
  }
  return absl::OkStatus();
}

absl::Status HeaderBuilder::OrderByOffset(std::int64_t data_size_bytes) {
  const auto place = [this](std::uint32_t i) { return std::pair(header_.entries_[i].begin, header_.entries_[i].end); };
  if (!std::ranges::is_sorted(header_.by_offset_, {}, place)) std::ranges::sort(header_.by_offset_, {}, place);
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
