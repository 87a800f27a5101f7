// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/safetensors/header.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "lib/safetensors/header_builder.h"
#include "lib/safetensors/header_reader.h"

namespace tensorferry::safetensors {
namespace {

// What Header::Entry can hold.
constexpr std::int64_t kMaxHeaderBytes = 4'294'967'295;

absl::Status WithPrefix(std::string_view prefix, const absl::Status& status) {
  return absl::Status(status.code(), fmt::format("{}: {}", prefix, std::string(status.message())));
}

}  // namespace

absl::StatusOr<std::int64_t> ParseHeaderSize(std::span<const std::byte, 8> prefix, std::int64_t file_size_bytes,
                                             const Limits& limits) {
  std::uint64_t size = 0;
  for (std::size_t i = prefix.size(); i-- > 0;) size = size << 8 | std::to_integer<std::uint64_t>(prefix[i]);
  if (size > static_cast<std::uint64_t>(limits.header_bytes)) {
    return absl::DataLossError(
        fmt::format("header: its length says {} bytes, the limit is {}", size, limits.header_bytes));
  }
  if (file_size_bytes < kPrefixBytes || size > static_cast<std::uint64_t>(file_size_bytes - kPrefixBytes)) {
    return absl::DataLossError(
        fmt::format("header: its length says {} bytes, the file of {} bytes is shorter", size, file_size_bytes));
  }
  return static_cast<std::int64_t>(size);
}

absl::StatusOr<Header> Header::Parse(std::string_view json, std::int64_t data_size_bytes, const Limits& limits) {
  if (static_cast<std::int64_t>(json.size()) > std::min(limits.header_bytes, kMaxHeaderBytes)) {
    return absl::DataLossError(
        fmt::format("header: it has {} bytes, the limit is {}", json.size(), limits.header_bytes));
  }
  HeaderBuilder builder(json.size() / 2);
  if (!ReadPlainHeader(json, data_size_bytes, limits, builder)) {
    builder = HeaderBuilder(json.size() / 2);
    const absl::Status read = ReadHeader(json, data_size_bytes, limits, builder);
    if (!read.ok()) return WithPrefix("header", read);
  }
  absl::StatusOr<Header> header = std::move(builder).Build(data_size_bytes);
  if (!header.ok()) return WithPrefix("header", header.status());
  return header;
}

TensorView Header::tensor(std::size_t index) const {
  const Entry& entry = entries_[index];
  return {.name = std::string_view(names_).substr(entry.name_offset, entry.name_size),
          .dtype = entry.dtype,
          .shape = std::span(shapes_).subspan(entry.shape_offset, entry.rank),
          .begin = entry.begin,
          .end = entry.end};
}

std::optional<std::size_t> Header::Find(std::string_view name) const {
  const auto entry = std::ranges::lower_bound(entries_, name, {}, [this](const Entry& e) {
    return std::string_view(names_).substr(e.name_offset, e.name_size);
  });
  if (entry == entries_.end()) return std::nullopt;
  const auto index = static_cast<std::size_t>(entry - entries_.begin());
  if (tensor(index).name != name) return std::nullopt;
  return index;
}

}  // namespace tensorferry::safetensors
