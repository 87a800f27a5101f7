// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/safetensors_bytes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace tensorferry::test {

std::string SafetensorsBytesWithLength(std::uint64_t length, std::string_view header_json, std::string_view data) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(length >> (8 * i) & 0xFF);
  bytes += header_json;
  bytes += data;
  return bytes;
}

std::string SafetensorsBytes(std::string_view header_json, std::string_view data) {
  return SafetensorsBytesWithLength(header_json.size(), header_json, data);
}

std::int64_t SizeBytes(const TensorSpec& tensor) {
  std::int64_t bits = BitWidth(tensor.dtype);
  for (const std::int64_t dimension : tensor.shape) bits *= dimension;
  return bits / 8;
}

std::string EntryJson(std::string_view name_json, std::string_view dtype, std::string_view shape_json,
                      std::int64_t begin, std::int64_t end) {
  return fmt::format(R"("{}":{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", name_json, dtype, shape_json,
                     begin, end);
}

std::string HeaderJson(const std::vector<TensorSpec>& tensors, std::string_view metadata_json) {
  std::vector<std::string> entries;
  if (!metadata_json.empty()) entries.push_back(fmt::format(R"("__metadata__":{})", metadata_json));
  std::int64_t offset = 0;
  for (const TensorSpec& tensor : tensors) {
    const std::int64_t end = offset + SizeBytes(tensor);
    entries.push_back(
        EntryJson(tensor.name, DtypeName(tensor.dtype), fmt::format("{}", fmt::join(tensor.shape, ",")), offset, end));
    offset = end;
  }
  return fmt::format("{{{}}}", fmt::join(entries, ","));
}

std::string ValidFile(const std::vector<TensorSpec>& tensors, std::string_view metadata_json, int fill) {
  std::int64_t size = 0;
  for (const TensorSpec& tensor : tensors) size += SizeBytes(tensor);
  std::string data;
  for (std::int64_t i = 0; i < size; ++i) data += static_cast<char>((fill + i) & 0xFF);
  return SafetensorsBytes(HeaderJson(tensors, metadata_json), data);
}

std::string FileOfTensors(const std::vector<std::string>& names, int fill) {
  std::vector<TensorSpec> tensors;
  for (const std::string& name : names) tensors.push_back({name, Dtype::kU8, {3}});
  return ValidFile(tensors, {}, fill);
}

std::string IndexJson(const std::map<std::string, std::string>& weight_map) {
  std::string members;
  for (const auto& [tensor, file] : weight_map) {
    members += (members.empty() ? "\"" : ",\"") + tensor + "\":\"" + file + '"';
  }
  return R"({"weight_map":{)" + members + "}}";
}

}  // namespace tensorferry::test
