// SPDX-License-Identifier: Apache-2.0
//
// json_parsers: parses a generated header of about 10 MB with our parser, RapidJSON and simdjson, in turns. The latter
// two fill a plain vector and validate nothing. Each parse uses a new parser, because a server parses a header once.
#include <fmt/format.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tensorferry/safetensors/header.h"

namespace tensorferry::benchmarks {
namespace {

constexpr int kTensors = 82'000;
constexpr int kRounds = 15;

struct Entry {
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::int64_t begin = 0;
  std::int64_t end = 0;

  friend bool operator==(const Entry&, const Entry&) = default;
};
using Entries = std::vector<Entry>;

// Generates a header with the names and sizes of a large mixture of experts.
std::string GenerateHeader(std::int64_t& data_size_bytes) {
  std::string json = R"({"__metadata__":{"format":"pt"})";
  data_size_bytes = 0;
  for (int i = 0; i < kTensors; ++i) {
    const std::int64_t end = data_size_bytes + std::int64_t{2048} * 7168 * 2;
    fmt::format_to(std::back_inserter(json),
                   R"(,"model.layers.{}.mlp.experts.{}.{}_proj.weight":{{"dtype":"BF16","shape":[2048,7168],)"
                   R"("data_offsets":[{},{}]}})",
                   i / 768, i / 3 % 256, std::array{"gate", "up", "down"}[static_cast<std::size_t>(i % 3)],
                   data_size_bytes, end);
    data_size_bytes = end;
  }
  return json + "}";
}

// Collects the fields of a well-formed header from RapidJSON's events.
class Collector : public rapidjson::BaseReaderHandler<rapidjson::UTF8<>, Collector> {
 public:
  bool StartObject() {
    ++depth_;
    return true;
  }
  bool EndObject(rapidjson::SizeType) {
    --depth_;
    return true;
  }
  bool Key(const char* text, rapidjson::SizeType size, bool) {
    const std::string_view key(text, size);
    if (depth_ == 1) {
      in_metadata_ = key == "__metadata__";
      if (!in_metadata_) entries_.emplace_back().name = key;
    } else {
      field_ = key == "dtype" ? Field::kDtype : key == "shape" ? Field::kShape : Field::kOffsets;
      offsets_ = 0;
    }
    return true;
  }
  bool String(const char* text, rapidjson::SizeType size, bool) {
    if (!in_metadata_ && field_ == Field::kDtype) entries_.back().dtype.assign(text, size);
    return true;
  }
  bool Uint(unsigned value) { return Uint64(value); }
  bool Uint64(std::uint64_t value) {
    Entry& entry = entries_.back();
    const auto number = static_cast<std::int64_t>(value);
    if (field_ == Field::kShape) {
      entry.shape.push_back(number);
    } else {
      (offsets_++ == 0 ? entry.begin : entry.end) = number;
    }
    return true;
  }

  Entries& entries() { return entries_; }

 private:
  enum class Field { kDtype, kShape, kOffsets };

  Entries entries_;
  Field field_ = Field::kDtype;
  bool in_metadata_ = false;
  int depth_ = 0;
  int offsets_ = 0;
};

// Uses RapidJSON as our parser does: iteratively, with validation of UTF-8.
std::optional<Entries> ParseWithRapidJson(const std::string& json) {
  Collector collector;
  rapidjson::Reader reader;
  rapidjson::MemoryStream stream(json.data(), json.size());
  constexpr unsigned kFlags = rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag;
  if (reader.Parse<kFlags>(stream, collector).IsError()) return std::nullopt;
  return std::move(collector.entries());
}

bool AddEntry(std::string_view name, simdjson::dom::element value, Entries& entries) {
  Entry entry;
  entry.name = name;
  std::string_view dtype;
  // Named variables, because in this version of simdjson a loop over a temporary's value reads freed memory.
  simdjson::dom::array shape;
  simdjson::dom::array offsets;
  if (value["dtype"].get(dtype) != simdjson::SUCCESS || value["shape"].get(shape) != simdjson::SUCCESS ||
      value["data_offsets"].get(offsets) != simdjson::SUCCESS) {
    return false;
  }
  entry.dtype = dtype;
  for (const simdjson::dom::element size : shape) {
    std::int64_t number = 0;
    if (size.get(number) != simdjson::SUCCESS) return false;
    entry.shape.push_back(number);
  }
  if (offsets.at(0).get(entry.begin) != simdjson::SUCCESS || offsets.at(1).get(entry.end) != simdjson::SUCCESS) {
    return false;
  }
  entries.push_back(std::move(entry));
  return true;
}

// Takes padded text, so that the padding is not measured: a reader of files can read into padded memory.
std::optional<Entries> ParseWithSimdjson(const simdjson::padded_string& json) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(json).get(object) != simdjson::SUCCESS) return std::nullopt;
  Entries entries;
  for (const simdjson::dom::key_value_pair field : object) {
    if (field.key != "__metadata__" && !AddEntry(field.key, field.value, entries)) return std::nullopt;
  }
  return entries;
}

struct Contender {
  std::string name;
  // Returns true if it parsed all tensors.
  std::function<bool()> parse;
  std::vector<double> milliseconds = {};
};

bool Measure(Contender& contender) {
  const auto start = std::chrono::steady_clock::now();
  const bool parsed = contender.parse();
  const std::chrono::duration<double, std::milli> elapsed = std::chrono::steady_clock::now() - start;
  contender.milliseconds.push_back(elapsed.count());
  return parsed;
}

double Median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + kRounds / 2, values.end());
  return values[kRounds / 2];
}

int Main() {
  std::int64_t data_size_bytes = 0;
  const std::string json = GenerateHeader(data_size_bytes);
  const simdjson::padded_string padded(json);
  std::array contenders = {Contender{"safetensors::Header",
                                     [&] {
                                       const auto header = safetensors::Header::Parse(json, data_size_bytes);
                                       return header.ok() && header->tensor_count() == kTensors;
                                     }},
                           Contender{"RapidJSON, bare",
                                     [&] {
                                       const auto entries = ParseWithRapidJson(json);
                                       return entries && entries->size() == kTensors;
                                     }},
                           Contender{"simdjson, bare", [&] {
                                       const auto entries = ParseWithSimdjson(padded);
                                       return entries && entries->size() == kTensors;
                                     }}};
  if (ParseWithRapidJson(json) != ParseWithSimdjson(padded)) {
    fmt::print(stderr, "json_parsers: RapidJSON and simdjson do not find the same tensors\n");
    return 1;
  }
  for (int round = 0; round < kRounds; ++round) {
    for (Contender& contender : contenders) {
      if (Measure(contender)) continue;
      fmt::print(stderr, "json_parsers: {} cannot parse the header\n", contender.name);
      return 1;
    }
  }
  fmt::print("{} bytes, {} tensors, {} rounds; simdjson runs its {} implementation\n\n", json.size(), kTensors, kRounds,
             simdjson::get_active_implementation()->name());
  fmt::print("{:20} {:>10} {:>10} {:>12}\n", "", "median ms", "MB/s", "time / ours");
  const double ours = Median(contenders[0].milliseconds);
  for (const Contender& contender : contenders) {
    const double median = Median(contender.milliseconds);
    fmt::print("{:20} {:>10.1f} {:>10.0f} {:>12.2f}\n", contender.name, median,
               static_cast<double>(json.size()) / 1e3 / median, median / ours);
  }
  return 0;
}

}  // namespace
}  // namespace tensorferry::benchmarks

int main() { return tensorferry::benchmarks::Main(); }
