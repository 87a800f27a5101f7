// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/safetensors/index.h"

#include <fmt/format.h>

#include <algorithm>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "lib/safetensors/json_reader.h"
#include "lib/text/quote.h"

namespace tensorferry::safetensors {
namespace {

// Reads the `weight_map` of an index and skips the rest.
class IndexReader : public JsonReader<IndexReader> {
 public:
  explicit IndexReader(const Limits& limits) : limits_(limits) {}

  WeightMap weight_map;
  bool has_weight_map = false;

  bool OnObject() {
    if (depth() == 1 || !in_weight_map_) return true;
    has_weight_map = true;
    return depth() == 2 || FailValue();
  }
  bool OnObjectEnd() { return true; }
  bool OnArray() { return !in_weight_map_ || FailValue(); }
  bool OnArrayEnd() { return true; }

  bool OnName(std::string_view key) {
    if (depth() == 1) {
      if (!top_level_keys_.emplace(key).second) return Fail(fmt::format("duplicate key {}", Quote(key)));
      in_weight_map_ = key == "weight_map";
      return true;
    }
    if (!in_weight_map_) return true;
    tensor_ = key;
    if (static_cast<std::int64_t>(weight_map.size()) == limits_.tensors) {
      return Fail(fmt::format("weight_map has more tensors than the limit of {}", limits_.tensors));
    }
    return true;
  }

  bool OnText(std::string_view file) {
    if (!in_weight_map_) return true;
    if (depth() == 1) return FailValue();
    const auto wrong = [&](std::string_view reason) {
      return Fail(fmt::format("weight_map: tensor {}: file {} {}", Quote(tensor_), Quote(file), reason));
    };
    if (file.find('/') != std::string_view::npos) return wrong("must be in the folder of the index");
    if (file.find('\0') != std::string_view::npos) return wrong("contains a NUL character");
    if (!file.ends_with(".safetensors")) return wrong("must end with .safetensors");
    weight_map.emplace_back(tensor_, file);
    return true;
  }

  bool OnUnsigned(std::uint64_t) { return OnOther({}); }
  bool OnOther(std::string_view) { return !in_weight_map_ || FailValue(); }

 private:
  bool FailValue() {
    if (depth() == 1 || tensor_.empty()) return Fail("weight_map is not an object of strings");
    return Fail(fmt::format("weight_map: the value of tensor {} is not a string", Quote(tensor_)));
  }

  const Limits& limits_;
  absl::flat_hash_set<std::string> top_level_keys_;
  bool in_weight_map_ = false;
  std::string tensor_;
};

}  // namespace

absl::StatusOr<WeightMap> ParseIndex(std::string_view json, const Limits& limits) {
  if (static_cast<std::int64_t>(json.size()) > limits.header_bytes) {
    return absl::DataLossError(
        fmt::format("index is {} bytes long; the limit is {}", json.size(), limits.header_bytes));
  }
  IndexReader reader(limits);
  if (absl::Status status = reader.Read(json, limits.nesting); !status.ok()) {
    return absl::DataLossError(fmt::format("index: {}", std::string(status.message())));
  }
  if (!reader.has_weight_map) return absl::DataLossError("index: no weight_map");
  WeightMap& map = reader.weight_map;
  std::ranges::sort(map);
  const auto duplicate = std::ranges::adjacent_find(map, {}, &WeightMap::value_type::first);
  if (duplicate != map.end()) {
    return absl::DataLossError(fmt::format("index: weight_map: duplicate tensor {}", Quote(duplicate->first)));
  }
  return std::move(map);
}

}  // namespace tensorferry::safetensors
