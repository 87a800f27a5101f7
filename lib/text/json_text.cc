// SPDX-License-Identifier: Apache-2.0
#include "lib/text/json_text.h"

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "lib/text/quote.h"

namespace tensorferry {

JsonText& JsonText::BeginObject(std::string_view key) {
  if (!key.empty()) Key(key);
  writer_.StartObject();
  return *this;
}

JsonText& JsonText::EndObject() {
  writer_.EndObject();
  return *this;
}

JsonText& JsonText::BeginArray(std::string_view key) {
  if (!key.empty()) Key(key);
  writer_.StartArray();
  return *this;
}

JsonText& JsonText::EndArray() {
  writer_.EndArray();
  return *this;
}

JsonText& JsonText::Member(std::string_view key, std::string_view value) {
  Key(key);
  String(value);
  return *this;
}

JsonText& JsonText::Member(std::string_view key, std::int64_t value) {
  Key(key);
  writer_.Int64(value);
  return *this;
}

JsonText& JsonText::Member(std::string_view key, double value) {
  Key(key);
  writer_.Double(value);
  return *this;
}

JsonText& JsonText::Member(std::string_view key, bool value) {
  Key(key);
  writer_.Bool(value);
  return *this;
}

JsonText& JsonText::Member(std::string_view key, std::span<const std::int64_t> values) {
  BeginArray(key);
  for (const std::int64_t value : values) writer_.Int64(value);
  return EndArray();
}

JsonText& JsonText::Member(std::string_view key, const std::map<std::string, std::string>& values) {
  BeginObject(key);
  for (const auto& [name, value] : values) Member(name, value);
  return EndObject();
}

std::string JsonText::ToString() const { return std::string(buffer_.GetString(), buffer_.GetSize()) + "\n"; }

void JsonText::Key(std::string_view key) { String(key); }

void JsonText::String(std::string_view text) {
  if (IsValidUtf8(text)) {
    writer_.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
  } else {
    String(Escape(text));
  }
}

}  // namespace tensorferry
