// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/safetensors/header_reader.h"

namespace tensorferry::safetensors {
namespace {

// Stops at the first character that is not the expected one.
class PlainHeaderReader {
 public:
  PlainHeaderReader(std::string_view json, std::int64_t data_size_bytes, const Limits& limits, HeaderBuilder& builder)
      : next_(json.data()),
        end_(json.data() + json.size()),
        data_size_bytes_(data_size_bytes),
        limits_(limits),
        builder_(builder) {}

  bool Read() {
    if (!Take('{')) return false;
    if (!Take('}')) {
      do {
        if (!ReadEntry()) return false;
      } while (Take(','));
      if (!Take('}')) return false;
    }
    SkipSpace();
    return next_ == end_;
  }

 private:
  void SkipSpace() {
    while (next_ != end_ && (*next_ == ' ' || *next_ == '\n' || *next_ == '\r' || *next_ == '\t')) ++next_;
  }

  bool Take(char expected) {
    SkipSpace();
    if (next_ == end_ || *next_ != expected) return false;
    ++next_;
    return true;
  }

  bool ReadText(std::string_view& text) {
    if (!Take('"')) return false;
    const char* const begin = next_;
    // As signed numbers, bytes that are not ASCII are below every printable character.
    while (next_ != end_ && static_cast<signed char>(*next_) >= ' ' && *next_ != '"' && *next_ != '\\') ++next_;
    text = {begin, next_};
    return next_ != end_ && *next_++ == '"';
  }

  bool ReadNumber(std::uint64_t& number) {
    constexpr std::ptrdiff_t kMaxDigits = 18;  // cannot overflow
    SkipSpace();
    const char* const begin = next_;
    number = 0;
    for (; next_ != end_ && *next_ >= '0' && *next_ <= '9' && next_ - begin < kMaxDigits; ++next_) {
      number = number * 10 + static_cast<std::uint64_t>(*next_ - '0');
    }
    return next_ != begin && (*begin != '0' || next_ - begin == 1);
  }

  bool ReadEntry() {
    std::string_view name;
    if (!ReadText(name) || !Take(':')) return false;
    if (name == "__metadata__") return !std::exchange(has_metadata_, true) && ReadMetadata();
    if (static_cast<std::int64_t>(name.size()) > limits_.name_bytes || builder_.tensor_count() == limits_.tensors ||
        !Take('{')) {
      return false;
    }
    bool has_dtype = false;
    bool has_shape = false;
    bool has_offsets = false;
    do {
      std::string_view field;
      if (!ReadText(field) || !Take(':')) return false;
      if (field == "dtype") {
        if (std::exchange(has_dtype, true) || !ReadDtype()) return false;
      } else if (field == "shape") {
        if (std::exchange(has_shape, true) || !ReadShape()) return false;
      } else {
        if (field != "data_offsets" || std::exchange(has_offsets, true) || !ReadOffsets()) return false;
      }
    } while (Take(','));
    if (!Take('}') || !has_dtype || !has_shape || !has_offsets) return false;
    return builder_.Add(name, dtype_, shape_, offsets_[0], offsets_[1], data_size_bytes_).ok();
  }

  bool ReadDtype() {
    std::string_view text;
    if (!ReadText(text)) return false;
    if (text == DtypeName(dtype_)) return true;  // nearly always the dtype of the entry before
    const std::optional<Dtype> dtype = ParseDtype(text);
    if (dtype) dtype_ = *dtype;
    return dtype.has_value();
  }

  bool ReadShape() {
    shape_.clear();
    if (!Take('[')) return false;
    if (Take(']')) return true;
    const auto max_rank = static_cast<std::size_t>(std::min(limits_.rank, kMaxRank));
    do {
      std::uint64_t size = 0;
      if (shape_.size() == max_rank || !ReadNumber(size)) return false;
      shape_.push_back(static_cast<std::int64_t>(size));
    } while (Take(','));
    return Take(']');
  }

  bool ReadOffsets() {
    return Take('[') && ReadNumber(offsets_[0]) && Take(',') && ReadNumber(offsets_[1]) && Take(']');
  }

  bool ReadMetadata() {
    if (!Take('{')) return false;
    if (Take('}')) return true;
    do {
      std::string_view key;
      std::string_view value;
      if (!ReadText(key) || !Take(':') || !ReadText(value) || !builder_.metadata().emplace(key, value).second) {
        return false;
      }
    } while (Take(','));
    return Take('}');
  }

  const char* next_;
  const char* const end_;
  const std::int64_t data_size_bytes_;
  const Limits& limits_;
  HeaderBuilder& builder_;

  bool has_metadata_ = false;
  // Of the entry that is being read.
  Dtype dtype_ = Dtype::kU8;
  std::vector<std::int64_t> shape_;
  std::array<std::uint64_t, 2> offsets_ = {};
};

}  // namespace

bool ReadPlainHeader(std::string_view json, std::int64_t data_size_bytes, const Limits& limits,
                     HeaderBuilder& builder) {
  // The header's object, an entry, an array of the entry.
  constexpr std::int64_t kNesting = 3;
  return limits.nesting >= kNesting && PlainHeaderReader(json, data_size_bytes, limits, builder).Read();
}

}  // namespace tensorferry::safetensors
