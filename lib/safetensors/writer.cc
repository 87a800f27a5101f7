// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/safetensors/writer.h"

#include <fmt/format.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>
#include <string_view>
#include <tuple>
#include <utility>

#include "lib/files/atomic_file.h"
#include "lib/text/quote.h"

namespace tensorferry::safetensors {
namespace {

constexpr std::size_t kDataAlignment = 64;

void WriteString(rapidjson::Writer<rapidjson::StringBuffer>& json, std::string_view text) {
  json.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
}

// The description of a tensor in the header.
struct Entry {
  std::string_view name;
  Dtype dtype;
  std::span<const std::int64_t> shape;
  std::uint64_t size_bytes;
};

// Returns the header for tensors in this order, padded so that the data is aligned.
std::string HeaderJson(std::span<const Entry> tensors, const Metadata& metadata) {
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
  for (const Entry& tensor : tensors) {
    WriteString(json, tensor.name);
    json.StartObject();
    json.Key("dtype");
    WriteString(json, DtypeName(tensor.dtype));
    json.Key("shape");
    json.StartArray();
    for (const std::int64_t dimension : tensor.shape) json.Int64(dimension);
    json.EndArray();
    json.Key("data_offsets");
    json.StartArray();
    json.Uint64(offset);
    json.Uint64(offset += tensor.size_bytes);
    json.EndArray();
    json.EndObject();
  }
  json.EndObject();
  std::string header(buffer.GetString(), buffer.GetSize());
  const std::size_t data_offset = static_cast<std::size_t>(kPrefixBytes) + header.size();
  header.append((kDataAlignment - data_offset % kDataAlignment) % kDataAlignment, ' ');
  return header;
}

// Returns the bytes of a file before its data: the length of the header, and the header.
// Errors: INVALID_ARGUMENT: Header::Parse refuses the header.
absl::StatusOr<std::string> EncodeHead(std::span<const Entry> tensors, const Metadata& metadata) {
  std::int64_t data_size_bytes = 0;
  for (const Entry& tensor : tensors) {
    data_size_bytes += static_cast<std::int64_t>(tensor.size_bytes);
    // Header::Parse cannot refuse this name: an entry of that name is not a tensor.
    if (tensor.name == "__metadata__") return absl::InvalidArgumentError("tensor name \"__metadata__\" is reserved");
  }
  const std::string header = HeaderJson(tensors, metadata);
  // The reader validates the input, so that every written file is readable.
  if (const auto parsed = Header::Parse(header, data_size_bytes); !parsed.ok()) {
    return absl::InvalidArgumentError(parsed.status().message());
  }
  std::string head(kPrefixBytes, '\0');
  for (std::size_t i = 0; i < head.size(); ++i) head[i] = static_cast<char>(header.size() >> (8 * i) & 0xFF);
  return head + header;
}

}  // namespace

absl::StatusOr<std::string> EncodeFileHead(std::string_view name, Dtype dtype, std::span<const std::int64_t> shape,
                                           std::int64_t size_bytes) {
  const Entry entry{name, dtype, shape, static_cast<std::uint64_t>(size_bytes)};
  return EncodeHead(std::span(&entry, 1), {});
}

absl::Status WriteFile(const std::string& path, std::span<const TensorToWrite> tensors, const Metadata& metadata) {
  std::vector<const TensorToWrite*> ordered;
  for (const TensorToWrite& tensor : tensors) ordered.push_back(&tensor);
  // Widest first, like the reference: this aligns every tensor to its elements.
  std::ranges::sort(ordered, {},
                    [](const TensorToWrite* t) { return std::tuple(-BitWidth(t->dtype), std::string_view(t->name)); });
  std::vector<Entry> entries;
  for (const TensorToWrite* t : ordered) entries.push_back({t->name, t->dtype, t->shape, t->data.size()});
  const absl::StatusOr<std::string> head = EncodeHead(entries, metadata);
  if (!head.ok()) {
    return absl::Status(head.status().code(),
                        fmt::format("cannot write {}: {}", Quote(path), std::string(head.status().message())));
  }

  absl::StatusOr<AtomicFile> file = AtomicFile::Create(path);
  if (!file.ok()) return file.status();
  if (absl::Status status = file->Append(std::as_bytes(std::span(*head))); !status.ok()) return status;
  for (const TensorToWrite* tensor : ordered) {
    if (absl::Status status = file->Append(tensor->data); !status.ok()) return status;
  }
  return file->Commit();
}

}  // namespace tensorferry::safetensors
