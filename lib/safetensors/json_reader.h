// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_SAFETENSORS_JSON_READER_H_
#define TENSORFERRY_LIB_SAFETENSORS_JSON_READER_H_

#include <fmt/format.h>
#include <rapidjson/error/en.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "lib/text/quote.h"

namespace tensorferry::safetensors {

// Base of the readers of untrusted JSON: passes on RapidJSON's events, enforces the limit on nesting, and verifies that
// strings are UTF-8. `Derived` implements OnObject, OnObjectEnd, OnArray, OnArrayEnd, OnName, OnText, OnUnsigned and
// OnOther. Each returns true to continue, or calls Fail to stop with a reason.
//
// Why RapidJSON and not simdjson: simdjson refuses integers over 64 bits in fields that must be ignored, and its
// on-demand parser does not validate what it skips. RapidJSON's iterative mode cannot exhaust the stack.
template <typename Derived>
class JsonReader {
 public:
  // Errors: DATA_LOSS, with the reason and, where the JSON itself is broken, the byte.
  absl::Status Read(std::string_view json, std::int64_t max_nesting);

  // RapidJSON's handler concept.
  bool Null() { return self().OnOther("null"); }
  bool Bool(bool) { return self().OnOther("a boolean"); }
  bool Int(int) { return self().OnOther("a negative integer"); }
  bool Int64(std::int64_t) { return self().OnOther("a negative integer"); }
  bool Uint(unsigned value) { return self().OnUnsigned(value); }
  bool Uint64(std::uint64_t value) { return self().OnUnsigned(value); }
  bool Double(double) { return self().OnOther("a number that is not an unsigned 64-bit integer"); }
  bool RawNumber(const char*, rapidjson::SizeType, bool) { return self().OnOther("a number"); }
  bool String(const char* text, rapidjson::SizeType size, bool) {
    return CheckText({text, size}) && self().OnText({text, size});
  }
  bool Key(const char* text, rapidjson::SizeType size, bool) {
    return CheckText({text, size}) && self().OnName({text, size});
  }
  bool StartObject() { return Enter() && self().OnObject(); }
  bool EndObject(rapidjson::SizeType) {
    --depth_;
    return self().OnObjectEnd();
  }
  bool StartArray() { return Enter() && self().OnArray(); }
  bool EndArray(rapidjson::SizeType) {
    --depth_;
    return self().OnArrayEnd();
  }

 protected:
  // The number of open objects and arrays.
  std::int64_t depth() const { return depth_; }

  bool Fail(std::string reason) {
    reason_ = std::move(reason);
    return false;
  }

 private:
  Derived& self() { return static_cast<Derived&>(*this); }

  bool Enter() {
    if (++depth_ <= max_nesting_) return true;
    return Fail(fmt::format("it is nested deeper than the limit of {}", max_nesting_));
  }

  // RapidJSON checks the bytes it reads, but turns the escape of a lone low surrogate into bytes that are not UTF-8.
  bool CheckText(std::string_view text) {
    if (text.find('\xED') == std::string_view::npos || IsValidUtf8(text)) return true;
    return Fail("a string holds half of a surrogate pair");
  }

  std::int64_t depth_ = 0;
  std::int64_t max_nesting_ = 0;
  std::string reason_;
};

template <typename Derived>
absl::Status JsonReader<Derived>::Read(std::string_view json, std::int64_t max_nesting) {
  max_nesting_ = max_nesting;
  // RapidJSON takes a NUL as the end of its input and some streams skip a byte order mark.
  if (const std::size_t nul = json.find('\0'); nul != std::string_view::npos) {
    return absl::DataLossError(fmt::format("not valid JSON: byte {} is 0", nul));
  }
  const std::size_t first = json.find_first_not_of(" \t\n\r");
  if (first == std::string_view::npos || json[first] != '{') {
    return absl::DataLossError("not a JSON object: the first character is not \"{\"");
  }
  rapidjson::Reader reader;
  rapidjson::MemoryStream stream(json.data(), json.size());
  constexpr unsigned kFlags = rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag;
  const rapidjson::ParseResult result = reader.Parse<kFlags>(stream, self());
  if (!result.IsError()) return absl::OkStatus();
  if (result.Code() == rapidjson::kParseErrorTermination) return absl::DataLossError(reason_);
  return absl::DataLossError(
      fmt::format("not valid JSON at byte {}: {}", result.Offset(), rapidjson::GetParseError_En(result.Code())));
}

}  // namespace tensorferry::safetensors

#endif  // TENSORFERRY_LIB_SAFETENSORS_JSON_READER_H_
