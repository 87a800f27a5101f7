// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/safetensors/writer.h"

#include <fmt/format.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <tuple>
#include <utility>

#include "tensorferry/files/atomic_file.h"
#include "tensorferry/quote.h"

namespace tensorferry::safetensors {
namespace {

constexpr std::size_t kDataAlignment = 64;

void WriteString(rapidjson::Writer<rapidjson::StringBuffer>& json, std::string_view text) {
  json.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
}

// The header for tensors in this order, padded.
std::string HeaderJson(std::span<const TensorToWrite* const> tensors, const Metadata& metadata) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> json(buffer);
  json.StartObject();
  if (!metadata.empty()) {
    json.Key("__metadata__");
    json.StartObject();
    for (const auto& [key, value] : metadata) {
      WriteString(json, key);
      WriteString(json, value);
    }
    json.EndObject();
  }
  std::uint64_t offset = 0;
  for (const TensorToWrite* tensor : tensors) {
    WriteString(json, tensor->name);
    json.StartObject();
    json.Key("dtype");
    WriteString(json, DtypeName(tensor->dtype));
    json.Key("shape");
    json.StartArray();
    for (const std::int64_t dimension : tensor->shape) json.Int64(dimension);
    json.EndArray();
    json.Key("data_offsets");
    json.StartArray();
    json.Uint64(offset);
    json.Uint64(offset += tensor->data.size());
    json.EndArray();
    json.EndObject();
  }
  json.EndObject();
  std::string header(buffer.GetString(), buffer.GetSize());
  const std::size_t data_offset = static_cast<std::size_t>(kPrefixBytes) + header.size();
  header.append((kDataAlignment - data_offset % kDataAlignment) % kDataAlignment, ' ');
  return header;
}

}  // namespace

absl::Status WriteFile(const std::string& path, std::span<const TensorToWrite> tensors, const Metadata& metadata) {
  std::vector<const TensorToWrite*> ordered;
  std::int64_t data_size_bytes = 0;
  for (const TensorToWrite& tensor : tensors) {
    ordered.push_back(&tensor);
    data_size_bytes += static_cast<std::int64_t>(tensor.data.size());
    // Only this name would turn into something else than a tensor.
    if (tensor.name == "__metadata__") {
      return absl::InvalidArgumentError(
          fmt::format("cannot write {}: a tensor cannot be called __metadata__", Quote(path)));
    }
  }
  // The reference writes the widest first, which keeps every tensor aligned to its elements.
  std::ranges::sort(ordered, {},
                    [](const TensorToWrite* t) { return std::tuple(-BitWidth(t->dtype), std::string_view(t->name)); });

  const std::string header = HeaderJson(ordered, metadata);
  // Whatever we write must be readable: the reader is the judge of the input, too.
  if (const auto parsed = Header::Parse(header, data_size_bytes); !parsed.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("cannot write {}: {}", Quote(path), std::string(parsed.status().message())));
  }

  absl::StatusOr<AtomicFile> file = AtomicFile::Create(path);
  if (!file.ok()) return file.status();
  std::array<std::byte, kPrefixBytes> prefix;
  for (std::size_t i = 0; i < prefix.size(); ++i) prefix[i] = static_cast<std::byte>(header.size() >> (8 * i) & 0xFF);
  if (absl::Status status = file->Append(prefix); !status.ok()) return status;
  if (absl::Status status = file->Append(std::as_bytes(std::span(header))); !status.ok()) return status;
  for (const TensorToWrite* tensor : ordered) {
    if (absl::Status status = file->Append(tensor->data); !status.ok()) return status;
  }
  return file->Commit();
}

}  // namespace tensorferry::safetensors
