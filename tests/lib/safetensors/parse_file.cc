// SPDX-License-Identifier: Apache-2.0
#include "tests/lib/safetensors/parse_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "absl/status/status.h"
#include "lib/safetensors/header_reader.h"
#include "lib/text/quote.h"
#include "tests/testing/safetensors_bytes.h"

namespace tensorferry::test {

__extension__ using Wide = unsigned __int128;

absl::StatusOr<safetensors::Header> ParseFile(std::string_view file, const safetensors::Limits& limits) {
  constexpr auto kPrefix = static_cast<std::size_t>(safetensors::kPrefixBytes);
  std::array<std::byte, kPrefix> prefix{};
  const std::span<const std::byte> head = AsBytes(file.substr(0, kPrefix));
  std::copy(head.begin(), head.end(), prefix.begin());
  const absl::StatusOr<std::int64_t> size =
      safetensors::ParseHeaderSize(prefix, static_cast<std::int64_t>(file.size()), limits);
  if (!size.ok()) return size.status();
  const auto header_size = static_cast<std::size_t>(*size);
  if (file.size() < kPrefix || header_size > file.size() - kPrefix) {
    return absl::InternalError("ParseHeaderSize admitted a header that is longer than the file");
  }
  // Not a std::string: the byte behind the end must not be there.
  const auto json = std::make_unique<char[]>(header_size);
  std::copy_n(file.data() + kPrefix, header_size, json.get());
  return safetensors::Header::Parse({json.get(), header_size},
                                    static_cast<std::int64_t>(file.size() - kPrefix - header_size), limits);
}

std::string ReadersDiffer(std::string_view file) {
  using safetensors::HeaderBuilder;
  constexpr auto kPrefix = static_cast<std::size_t>(safetensors::kPrefixBytes);
  if (file.size() < kPrefix) return {};
  std::uint64_t size = 0;
  for (std::size_t i = kPrefix; i-- > 0;) size = size << 8 | static_cast<std::uint8_t>(file[i]);
  const std::string_view json = file.substr(kPrefix, size);
  const auto data_size_bytes = static_cast<std::int64_t>(file.size() - kPrefix - json.size());
  HeaderBuilder plain_builder(0);
  if (!safetensors::ReadPlainHeader(json, data_size_bytes, {}, plain_builder)) return {};
  HeaderBuilder builder(0);
  if (absl::Status read = safetensors::ReadHeader(json, data_size_bytes, {}, builder); !read.ok()) {
    return fmt::format("one reader accepts what is wrong: {}", std::string(read.message()));
  }
  const absl::StatusOr<safetensors::Header> plain = std::move(plain_builder).Build(data_size_bytes);
  const absl::StatusOr<safetensors::Header> header = std::move(builder).Build(data_size_bytes);
  if (plain.status() != header.status())
    return fmt::format("{} and {}", plain.status().ToString(), header.status().ToString());
  if (!plain.ok()) return {};
  if (plain->tensor_count() != header->tensor_count()) return "the number of tensors";
  if (plain->metadata() != header->metadata()) return "the metadata";
  for (std::size_t i = 0; i < header->tensor_count(); ++i) {
    const safetensors::TensorView a = plain->tensor(i);
    const safetensors::TensorView b = header->tensor(i);
    if (a.name != b.name || a.dtype != b.dtype || !std::ranges::equal(a.shape, b.shape) || a.begin != b.begin ||
        a.end != b.end) {
      return fmt::format("tensor {}", Quote(b.name));
    }
  }
  return {};
}

std::string BrokenInvariant(const safetensors::Header& header) {
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < header.tensor_count(); ++i) {
    const safetensors::TensorView tensor = header.tensor_by_offset(i);
    if (tensor.begin != offset || tensor.end < tensor.begin) {
      return fmt::format("tensor {} is at [{}, {}), expected at {}", Quote(tensor.name), tensor.begin, tensor.end,
                         offset);
    }
    offset = tensor.end;
    Wide elements = 1;
    for (const std::int64_t dimension : tensor.shape) {
      if (dimension < 0) return fmt::format("tensor {} has the dimension {}", Quote(tensor.name), dimension);
      elements *= static_cast<std::uint64_t>(dimension);
      if (elements >> 64 != 0) return fmt::format("tensor {} has an impossible shape", Quote(tensor.name));
    }
    const Wide bits = elements * static_cast<unsigned>(BitWidth(tensor.dtype));
    if (bits != static_cast<Wide>(tensor.size_bytes()) * 8) {
      return fmt::format("tensor {} has {} bytes, which is not what its shape says", Quote(tensor.name),
                         tensor.size_bytes());
    }
  }
  if (offset != header.data_size_bytes()) {
    return fmt::format("the tensors end at {}, the data at {}", offset, header.data_size_bytes());
  }
  for (std::size_t i = 0; i < header.tensor_count(); ++i) {
    const std::string_view name = header.tensor(i).name;
    if (i > 0 && !(header.tensor(i - 1).name < name)) return fmt::format("{} is out of order", Quote(name));
    if (header.Find(name) != i) return fmt::format("{} is not found where it is", Quote(name));
    if (!IsValidUtf8(name) || name.find('\0') != name.npos) return fmt::format("{} is no name", Quote(name));
  }
  return {};
}

std::string BrokenInvariant(const safetensors::WeightMap& map) {
  for (std::size_t i = 0; i < map.size(); ++i) {
    const auto& [tensor, file] = map[i];
    if (i > 0 && !(map[i - 1].first < tensor)) return fmt::format("tensor {} is out of order", Quote(tensor));
    if (file.find('/') != file.npos || file.find('\0') != file.npos || !file.ends_with(".safetensors")) {
      return fmt::format("{} is no safetensors file in the same folder", Quote(file));
    }
    if (!IsValidUtf8(tensor) || !IsValidUtf8(file)) return fmt::format("{} is not UTF-8", Quote(tensor));
  }
  return {};
}

}  // namespace tensorferry::test
