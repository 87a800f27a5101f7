// SPDX-License-Identifier: Apache-2.0
#include "lib/safetensors/header_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "lib/safetensors/json_reader.h"
#include "lib/text/quote.h"

namespace tensorferry::safetensors {
namespace {

// Turns the events of a header's JSON into tensors. The structure is fixed and two levels deep, so the state is the
// expected value. Fields of an entry other than its three are skipped.
class HeaderReader : public JsonReader<HeaderReader> {
 public:
  HeaderReader(std::int64_t data_size_bytes, const Limits& limits, HeaderBuilder& builder)
      : data_size_bytes_(data_size_bytes), limits_(limits), builder_(builder) {}

  bool OnObject() {
    if (depth() == 1 || skipping()) return true;
    if (depth() == 2 && expected_ == Expected::kEntry) {
      field_ = Field::kNone;
      dtype_.reset();
      has_shape_ = has_offsets_ = false;
      shape_.clear();
      offset_count_ = 0;
      unknown_fields_.clear();
      return true;
    }
    return depth() == 2 || FailValue("an object");
  }

  bool OnObjectEnd() {
    if (depth() != 1 || expected_ != Expected::kEntry) return true;
    const auto missing = [this](std::string_view field) { return FailEntry(fmt::format("{} is missing", field)); };
    if (!dtype_) return missing("dtype");
    if (!has_shape_) return missing("shape");
    if (!has_offsets_) return missing("data_offsets");
    const absl::Status added = builder_.Add(name_, *dtype_, shape_, offsets_[0], offsets_[1], data_size_bytes_);
    return added.ok() || Fail(std::string(added.message()));
  }

  bool OnArray() {
    if (skipping()) return true;
    if (depth() == 3 && expected_ == Expected::kEntry && (field_ == Field::kShape || field_ == Field::kOffsets)) {
      return true;
    }
    return FailValue("an array");
  }

  bool OnArrayEnd() {
    if (depth() != 2 || expected_ != Expected::kEntry) return true;
    if (field_ == Field::kOffsets && offset_count_ != 2) {
      return FailEntry(fmt::format("data_offsets has {} elements, not 2", offset_count_));
    }
    return true;
  }

  bool OnName(std::string_view key) {
    if (depth() == 1) return BeginTopLevelValue(key);
    if (depth() == 2 && expected_ == Expected::kEntry) return BeginField(key);
    if (depth() == 2) {
      if (key.find('\0') != std::string_view::npos) return Fail("__metadata__: a key holds a NUL character");
      metadata_key_ = key;
    }
    return true;
  }

  bool OnText(std::string_view text) {
    if (skipping()) return true;
    if (depth() == 2 && expected_ == Expected::kMetadata) return AddMetadata(text);
    if (depth() == 2 && field_ == Field::kDtype) {
      dtype_ = ParseDtype(text);
      return dtype_.has_value() || FailEntry(fmt::format("dtype {} is not known", Quote(text)));
    }
    return FailValue("a string");
  }

  bool OnUnsigned(std::uint64_t value) {
    if (skipping()) return true;
    if (depth() != 3 || expected_ != Expected::kEntry) return FailValue("a number");
    if (field_ == Field::kOffsets) {
      if (offset_count_ < offsets_.size()) offsets_[offset_count_] = value;
      ++offset_count_;
      return true;
    }
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      return FailEntry(
          fmt::format("dimension {} is {}, which does not fit into a signed 64-bit integer", shape_.size(), value));
    }
    if (static_cast<std::int64_t>(shape_.size()) == std::min(limits_.rank, kMaxRank)) {
      return FailEntry(fmt::format("it has more dimensions than the limit of {}", limits_.rank));
    }
    shape_.push_back(static_cast<std::int64_t>(value));
    return true;
  }

  bool OnOther(std::string_view what) {
    if (skipping()) return true;
    // Real files have a null here; the reference treats it as absent.
    if (depth() == 1 && expected_ == Expected::kMetadata && what == "null") return true;
    return FailValue(what);
  }

 private:
  enum class Expected { kEntry, kMetadata };
  enum class Field { kNone, kDtype, kShape, kOffsets, kUnknown };

  bool skipping() const { return depth() >= 2 && expected_ == Expected::kEntry && field_ == Field::kUnknown; }

  bool BeginTopLevelValue(std::string_view key) {
    if (key == "__metadata__") {
      expected_ = Expected::kMetadata;
      return !std::exchange(has_metadata_, true) || Fail("duplicate __metadata__");
    }
    expected_ = Expected::kEntry;
    field_ = Field::kNone;
    name_ = key;
    if (static_cast<std::int64_t>(key.size()) > limits_.name_bytes) {
      return FailEntry(fmt::format("its name has {} bytes, the limit is {}", key.size(), limits_.name_bytes));
    }
    if (key.find('\0') != std::string_view::npos) return FailEntry("its name holds a NUL character");
    if (builder_.tensor_count() == limits_.tensors) {
      return Fail(fmt::format("it has more tensors than the limit of {}", limits_.tensors));
    }
    return true;
  }

  bool BeginField(std::string_view key) {
    const auto once = [&](bool seen, Field field) {
      field_ = field;
      return !seen || FailEntry(fmt::format("duplicate field {}", Quote(key)));
    };
    if (key == "dtype") return once(dtype_.has_value(), Field::kDtype);
    if (key == "shape") return once(std::exchange(has_shape_, true), Field::kShape);
    if (key == "data_offsets") return once(std::exchange(has_offsets_, true), Field::kOffsets);
    return once(!unknown_fields_.emplace(key).second, Field::kUnknown);
  }

  bool AddMetadata(std::string_view value) {
    if (value.find('\0') != std::string_view::npos) {
      return Fail(fmt::format("__metadata__: the value of {} holds a NUL character", Quote(metadata_key_)));
    }
    if (builder_.metadata().emplace(metadata_key_, value).second) return true;
    return Fail(fmt::format("__metadata__: duplicate key {}", Quote(metadata_key_)));
  }

  bool FailEntry(std::string_view reason) { return Fail(fmt::format("tensor {}: {}", Quote(name_), reason)); }
  bool FailMetadata() { return Fail("__metadata__ is not an object of strings"); }

  // A value of the wrong type.
  bool FailValue(std::string_view what) {
    if (expected_ == Expected::kMetadata) return FailMetadata();
    if (depth() == 1 || field_ == Field::kNone) return FailEntry(fmt::format("it is {}, not an object", what));
    switch (field_) {
      case Field::kDtype:
        return FailEntry(fmt::format("dtype is {}, not a string", what));
      case Field::kShape:
        return FailEntry(fmt::format("shape is or holds {}, not an array of unsigned integers", what));
      default:
        return FailEntry(fmt::format("data_offsets is or holds {}, not an array of two unsigned integers", what));
    }
  }

  const std::int64_t data_size_bytes_;
  const Limits& limits_;
  HeaderBuilder& builder_;

  Expected expected_ = Expected::kEntry;
  // Of the entry that is being read.
  std::string name_;
  Field field_ = Field::kNone;
  std::optional<Dtype> dtype_;
  bool has_shape_ = false;
  bool has_offsets_ = false;
  std::vector<std::int64_t> shape_;
  std::array<std::uint64_t, 2> offsets_ = {};
  std::size_t offset_count_ = 0;
  absl::flat_hash_set<std::string> unknown_fields_;
  // Of the `__metadata__`.
  bool has_metadata_ = false;
  std::string metadata_key_;
};

}  // namespace

absl::Status ReadHeader(std::string_view json, std::int64_t data_size_bytes, const Limits& limits,
                        HeaderBuilder& builder) {
  return HeaderReader(data_size_bytes, limits, builder).Read(json, limits.nesting);
}

}  // namespace tensorferry::safetensors
