// SPDX-License-Identifier: Apache-2.0
#include "client/cli/pull_state.h"

#include <rapidjson/document.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "client/cli/json_text.h"

namespace tensorferry::cli {
namespace {

// The object that `json` is, or null. Iterative: a damaged file must not overflow the stack.
rapidjson::Document ParseObject(std::string_view json) {
  rapidjson::Document document;
  document.Parse<rapidjson::kParseIterativeFlag>(json.data(), json.size());
  if (document.HasParseError() || !document.IsObject()) document.SetNull();
  return document;
}

std::optional<std::string> StringMember(const rapidjson::Value& object, const char* key) {
  const auto member = object.FindMember(key);
  if (member == object.MemberEnd() || !member->value.IsString()) return std::nullopt;
  return std::string(member->value.GetString(), member->value.GetStringLength());
}

std::optional<std::int64_t> Int64Member(const rapidjson::Value& object, const char* key) {
  const auto member = object.FindMember(key);
  if (member == object.MemberEnd() || !member->value.IsInt64()) return std::nullopt;
  return member->value.GetInt64();
}

}  // namespace

PulledFiles ParsePulledFiles(std::string_view json) {
  PulledFiles files;
  const rapidjson::Document document = ParseObject(json);
  if (document.IsNull()) return files;
  for (const auto& member : document.GetObject()) {
    if (!member.value.IsObject()) continue;
    const auto fingerprint = StringMember(member.value, "fingerprint");
    const auto size_bytes = Int64Member(member.value, "size_bytes");
    const auto modified_ns = Int64Member(member.value, "modified_ns");
    if (!fingerprint || !size_bytes || !modified_ns) continue;
    files[std::string(member.name.GetString(), member.name.GetStringLength())] = {*fingerprint, *size_bytes,
                                                                                  *modified_ns};
  }
  return files;
}

std::string ToJson(const PulledFiles& files) {
  JsonText json;
  json.BeginObject();
  for (const auto& [name, file] : files) {
    json.BeginObject(name)
        .Member("fingerprint", file.fingerprint)
        .Member("size_bytes", file.size_bytes)
        .Member("modified_ns", file.modified_ns)
        .EndObject();
  }
  return json.EndObject().ToString();
}

std::optional<PartialState> ParsePartialState(std::string_view json) {
  const rapidjson::Document document = ParseObject(json);
  if (document.IsNull()) return std::nullopt;
  auto fingerprint = StringMember(document, "fingerprint");
  const auto size_bytes = Int64Member(document, "size_bytes");
  auto boot_id = StringMember(document, "boot_id");
  if (!fingerprint || !size_bytes || !boot_id) return std::nullopt;
  return PartialState{std::move(*fingerprint), *size_bytes, std::move(*boot_id)};
}

std::string ToJson(const PartialState& state) {
  return JsonText()
      .BeginObject()
      .Member("fingerprint", state.fingerprint)
      .Member("size_bytes", state.size_bytes)
      .Member("boot_id", state.boot_id)
      .EndObject()
      .ToString();
}

}  // namespace tensorferry::cli
