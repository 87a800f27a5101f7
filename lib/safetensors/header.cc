// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/safetensors/header.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "lib/safetensors/header_builder.h"
#include "lib/safetensors/header_reader.h"
#include "lib/text/quote.h"

namespace tensorferry::safetensors {
namespace {

// The largest header that Header::Entry can refer to.
constexpr std::int64_t kMaxHeaderBytes = 4'294'967'295;

absl::Status WithPrefix(std::string_view prefix, const absl::Status& status) {
  return absl::Status(status.code(), fmt::format("{}: {}", prefix, std::string(status.message())));
}

// Returns true if the file begins as JSON does. As a length, such a prefix is far over any limit.
bool LooksLikeJson(std::string_view prefix) {
  const auto is_text = [](char c) { return (c >= ' ' && c <= '~') || c == '\t' || c == '\n' || c == '\r'; };
  return prefix.starts_with('{') && std::ranges::all_of(prefix, is_text);
}

}  // namespace

absl::StatusOr<std::int64_t> ParseHeaderSize(std::span<const std::byte, 8> prefix, std::int64_t file_size_bytes,
                                             const Limits& limits) {
  std::uint64_t size = 0;
  for (std::size_t i = prefix.size(); i-- > 0;) size = size << 8 | std::to_integer<std::uint64_t>(prefix[i]);
  if (size > static_cast<std::uint64_t>(limits.header_bytes)) {
    const std::string_view text(reinterpret_cast<const char*>(prefix.data()), prefix.size());
    if (LooksLikeJson(text)) {
      return absl::DataLossError(
          fmt::format("not a safetensors file: starts with {}: JSON? Give a .safetensors file or a model's directory",
                      Quote(text)));
    }
    return absl::DataLossError(
        fmt::format("not a safetensors file, or damaged: its first bytes give a header of {} bytes; the limit is {}",
                    size, limits.header_bytes));
  }
  if (file_size_bytes < kPrefixBytes || size > static_cast<std::uint64_t>(file_size_bytes - kPrefixBytes)) {
    return absl::DataLossError(
        fmt::format("not a safetensors file, or cut short: its first bytes give a header of {} bytes; the file of {} "
                    "bytes is shorter",
                    size, file_size_bytes));
  }
  return static_cast<std::int64_t>(size);
}

absl::StatusOr<Header> Header::Parse(std::string_view json, std::int64_t data_size_bytes, const Limits& limits) {
  if (static_cast<std::int64_t>(json.size()) > std::min(limits.header_bytes, kMaxHeaderBytes)) {
    return absl::DataLossError(
        fmt::format("header is {} bytes long; the limit is {}", json.size(), limits.header_bytes));
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
