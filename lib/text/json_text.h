// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_TEXT_JSON_TEXT_H_
#define TENSORFERRY_LIB_TEXT_JSON_TEXT_H_

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace tensorferry {

// Writes one JSON value as text. The caller balances Begin and End. Values in an object need a key, others must not
// have one. Not safe for concurrent use.
class JsonText {
 public:
  JsonText& BeginObject(std::string_view key = {});
  JsonText& EndObject();
  JsonText& BeginArray(std::string_view key = {});
  JsonText& EndArray();

  // Adds a member to the innermost open object. Text that is not UTF-8, as a path may be, is escaped as by Escape.
  JsonText& Member(std::string_view key, std::string_view value);
  JsonText& Member(std::string_view key, const char* value) { return Member(key, std::string_view(value)); }
  JsonText& Member(std::string_view key, std::int64_t value);
  JsonText& Member(std::string_view key, double value);
  JsonText& Member(std::string_view key, bool value);
  JsonText& Member(std::string_view key, std::span<const std::int64_t> values);
  JsonText& Member(std::string_view key, const std::map<std::string, std::string>& values);

  // Returns the text, with a line break at its end.
  std::string ToString() const;

 private:
  void Key(std::string_view key);
  void String(std::string_view text);

  rapidjson::StringBuffer buffer_;
  rapidjson::Writer<rapidjson::StringBuffer> writer_{buffer_};
};

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_TEXT_JSON_TEXT_H_
