// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_TESTING_SAFETENSORS_BYTES_H_
#define TENSORFERRY_TESTS_TESTING_SAFETENSORS_BYTES_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tensorferry/dtype.h"

namespace tensorferry::test {

// Returns the bytes of a file: length prefix, header, data. Does not use the library, so that the file may be invalid.
std::string SafetensorsBytes(std::string_view header_json, std::string_view data = {});
// Returns the same with a length prefix that may differ from the header's size.
std::string SafetensorsBytesWithLength(std::uint64_t length, std::string_view header_json, std::string_view data = {});

// A tensor for HeaderJson.
struct TensorSpec {
  std::string name;
  Dtype dtype = Dtype::kU8;
  std::vector<std::int64_t> shape;
};

// Returns the size of the tensor's elements.
std::int64_t SizeBytes(const TensorSpec& tensor);

// Returns one entry of a header, for example `"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}`. `name_json` and
// `shape_json` are inserted between the quotes and brackets without escaping.
std::string EntryJson(std::string_view name_json, std::string_view dtype, std::string_view shape_json,
                      std::int64_t begin, std::int64_t end);

// Returns a header that lays the tensors out one after another. `metadata_json`, if not empty, is the value of
// `__metadata__`.
std::string HeaderJson(const std::vector<TensorSpec>& tensors, std::string_view metadata_json = {});

// Returns a valid file of these tensors. Its bytes count up from `fill`, so that files of different fills differ.
std::string ValidFile(const std::vector<TensorSpec>& tensors, std::string_view metadata_json = {}, int fill = 0);

// Returns a valid file of U8 tensors of three bytes with these names.
std::string FileOfTensors(const std::vector<std::string>& names, int fill = 0);

// Returns an index with this weight_map. Names are inserted between the quotes without escaping.
std::string IndexJson(const std::map<std::string, std::string>& weight_map);

inline std::span<const std::byte> AsBytes(std::string_view text) {
  return std::as_bytes(std::span<const char>(text.data(), text.size()));
}
inline std::string AsString(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_TESTING_SAFETENSORS_BYTES_H_
