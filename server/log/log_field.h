// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_LOG_LOG_FIELD_H_
#define TENSORFERRY_SERVER_LOG_LOG_FIELD_H_

#include <chrono>
#include <concepts>
#include <cstdint>
#include <string_view>
#include <variant>

#include "absl/status/status.h"

namespace tensorferry::server {

// Returns true if a field may have this key: lower case letters and underscores, but no key that every line has.
constexpr bool IsLogKey(std::string_view key) {
  for (const char c : key) {
    if ((c < 'a' || c > 'z') && c != '_') return false;
  }
  return !key.empty() && key != "time" && key != "level" && key != "message";
}

// The key of a field: a literal. An invalid one does not compile.
class LogKey {
 public:
  consteval LogKey(const char* key) : key_(key) {
    if (!IsLogKey(key_)) throw "not a key of a field";
  }

  constexpr std::string_view text() const { return key_; }

 private:
  std::string_view key_;
};

// A field of a log line: text, an integer or a number. Does not own its text, which must live until the line is
// written. Temporaries in the argument list of LogInfo() and its siblings do.
class LogField {
 public:
  using Value = std::variant<std::string_view, std::int64_t, double>;

  LogField(LogKey key, std::string_view value) : key_(key), value_(value) {}
  // The status's message.
  LogField(LogKey key, const absl::Status& status)
      : key_(key), value_(std::string_view(status.message().data(), status.message().size())) {}
  template <std::integral T>
  LogField(LogKey key, T value) : key_(key), value_(static_cast<std::int64_t>(value)) {}
  LogField(LogKey key, double value) : key_(key), value_(value) {}
  // In seconds.
  LogField(LogKey key, std::chrono::duration<double> time) : LogField(key, time.count()) {}

  std::string_view key() const { return key_.text(); }
  const Value& value() const { return value_; }

 private:
  LogKey key_;
  Value value_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_LOG_LOG_FIELD_H_
