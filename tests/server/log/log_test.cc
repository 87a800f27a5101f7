// SPDX-License-Identifier: Apache-2.0
#include "server/log/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "server/log/log_line.h"

namespace tensorferry::server {
namespace {

using namespace std::literals;  // NOLINT

// Characters that could break a line, an object or a terminal.
constexpr std::string_view kNasty = "a\n\"b\" c=\\d\t\x1b[2J\0\x7f\xc2\x9b\xe2\x80\xae\xf3\xa0\x80\x81 größe"sv;

static_assert(IsLogKey("model") && IsLogKey("sent_bytes"));
static_assert(!IsLogKey("") && !IsLogKey("time") && !IsLogKey("level") && !IsLogKey("message"));
static_assert(!IsLogKey("Model") && !IsLogKey("a b") && !IsLogKey("a\"") && !IsLogKey("a=") && !IsLogKey("a2"));

std::string Text(std::string_view message, std::vector<LogField> fields = {}) { return TextLine(message, fields); }

rapidjson::Document Json(std::string_view message, std::vector<LogField> fields = {}) {
  rapidjson::Document document;
  const std::string object = "{" + JsonMembers(message, fields) + "}";
  document.Parse(object.data(), object.size());
  EXPECT_FALSE(document.HasParseError()) << object;
  return document;
}

std::string StringAt(const rapidjson::Document& document, const char* key) {
  return {document[key].GetString(), document[key].GetStringLength()};
}

bool IsHarmless(std::string_view line) {
  for (const std::string_view bad : {"\n", "\t", "\x1b", "\x7f", "\xc2\x9b", "\xe2\x80\xae", "\xf3\xa0\x80\x81"}) {
    if (line.find(bad) != line.npos) return false;
  }
  return line.find('\0') == line.npos;
}

TEST(LogLineTest, MessageWithoutFieldsIsUnchanged) {
  EXPECT_EQ(Text("SIGHUP: scanning the root"), "SIGHUP: scanning the root");
  EXPECT_EQ(JsonMembers("scanning \"m\"", {}), R"("message":"scanning \"m\"")");
}

TEST(LogLineTest, FieldsFollowInTheirOrder) {
  const std::string name = "minilm/model.safetensors";
  const absl::Status error = absl::NotFoundError("no such file");
  const std::vector<LogField> fields = {{"model", name},
                                        {"tensors", std::size_t{104}},
                                        {"bytes", std::int64_t{-1}},
                                        {"seconds", 0.25},
                                        {"timeout", std::chrono::milliseconds(1500)},
                                        {"error", error}};
  EXPECT_EQ(Text("root scanned", fields),
            "root scanned model=minilm/model.safetensors tensors=104 bytes=-1 seconds=0.25 timeout=1.5 "
            "error=\"no such file\"");
  EXPECT_EQ(JsonMembers("root scanned", fields),
            R"("message":"root scanned","model":"minilm/model.safetensors","tensors":104,"bytes":-1,)"
            R"("seconds":0.25,"timeout":1.5,"error":"no such file")");
}

TEST(LogLineTest, TextIsQuotedIfItCouldBeMisread) {
  for (const auto& [value, written] :
       {std::pair("", R"("")"), std::pair("a b", R"("a b")"), std::pair("a=b", R"("a=b")"), std::pair("\"", R"("\"")"),
        std::pair("a\\b", R"("a\\b")"), std::pair("a\nb", R"("a\u000ab")"), std::pair("größe", R"("größe")"),
        std::pair("[::1]:7070", "[::1]:7070"), std::pair("null", "null")}) {
    EXPECT_EQ(Text("m", {{"key", value}}), std::string("m key=") + written);
  }
}

TEST(LogLineTest, NastyTextIsOneHarmlessLineAndParsesBackFromJson) {
  const std::string text = Text(kNasty, {{"model", kNasty}, {"tensors", 3}});
  EXPECT_TRUE(IsHarmless(text)) << text;
  EXPECT_THAT(text, testing::EndsWith("größe\" tensors=3"));
  EXPECT_THAT(text, testing::HasSubstr(R"( model="a\u000a\"b\" c=\\d\u0009\u001b[2J\u0000)"));

  EXPECT_TRUE(IsHarmless(JsonMembers(kNasty, std::vector<LogField>{{"model", kNasty}})));
  const rapidjson::Document json = Json(kNasty, {{"model", kNasty}});
  EXPECT_EQ(StringAt(json, "message"), kNasty);
  EXPECT_EQ(StringAt(json, "model"), kNasty);
}

TEST(LogLineTest, InvalidUtf8IsEscaped) {
  EXPECT_EQ(Text("m", {{"model", "a\xff\"\n"}}), R"(m model="a\\xff\"\\u{a}")");
  EXPECT_EQ(StringAt(Json("\xff", {{"model", "a\xff\"\n"}}), "model"), "a\\xff\"\\u{a}");
}

TEST(LogLineTest, NumbersAreValidInJson) {
  constexpr auto kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(Json("m", {{"bytes", kMost}})["bytes"].GetInt64(), kMost);
  for (const double value : {0.0, 1e-9, 123456.5, 1e300, -2.5}) {
    EXPECT_NEAR(Json("m", {{"seconds", value}})["seconds"].GetDouble(), value, std::abs(value) * 1e-5);
  }
  EXPECT_TRUE(Json("m", {{"seconds", std::numeric_limits<double>::infinity()}})["seconds"].IsNull());
  EXPECT_TRUE(Json("m", {{"seconds", std::numeric_limits<double>::quiet_NaN()}})["seconds"].IsNull());
}

}  // namespace
}  // namespace tensorferry::server
