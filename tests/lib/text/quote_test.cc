// SPDX-License-Identifier: Apache-2.0
#include "lib/text/quote.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "tests/testing/random.h"

namespace tensorferry {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Le;
using ::testing::StartsWith;

std::string Utf8(std::uint32_t code_point) {
  const auto tail = [&](int shift) { return static_cast<char>(0x80 | (code_point >> shift & 0x3F)); };
  if (code_point < 0x80) return {static_cast<char>(code_point)};
  if (code_point < 0x800) return {static_cast<char>(0xC0 | code_point >> 6), tail(0)};
  if (code_point < 0x10000) return {static_cast<char>(0xE0 | code_point >> 12), tail(6), tail(0)};
  return {static_cast<char>(0xF0 | code_point >> 18), tail(12), tail(6), tail(0)};
}

// Returns the argument of Escape, given its result.
std::string Unescape(std::string_view escaped) {
  std::string text;
  for (std::size_t i = 0; i < escaped.size(); ++i) {
    if (escaped[i] != '\\') {
      text += escaped[i];
    } else if (escaped[++i] == 'x') {
      text += static_cast<char>(std::stoi(std::string(escaped.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else if (escaped[i] == 'u') {
      const std::size_t close = escaped.find('}', i);
      text +=
          Utf8(static_cast<std::uint32_t>(std::stoul(std::string(escaped.substr(i + 2, close - i - 2)), nullptr, 16)));
      i = close;
    } else {
      text += escaped[i];
    }
  }
  return text;
}

TEST(EscapeTest, PrintableTextIsUnchanged) {
  EXPECT_EQ(Escape(""), "");
  EXPECT_EQ(Escape("model.layers.0.attn/q_proj weight"), "model.layers.0.attn/q_proj weight");
  EXPECT_EQ(Escape("größe 重み 🚢"), "größe 重み 🚢");
  EXPECT_EQ(Escape("say \"hi\""), "say \"hi\"");
}

TEST(EscapeTest, ControlCharactersBecomeCodePoints) {
  EXPECT_EQ(Escape("a\nb"), "a\\u{a}b");
  EXPECT_EQ(Escape("\x1b[2J"), "\\u{1b}[2J");
  EXPECT_EQ(Escape(std::string_view("\0", 1)), "\\u{0}");
  EXPECT_EQ(Escape("\x7f"), "\\u{7f}");
  EXPECT_EQ(Escape("\xc2\x9b"), "\\u{9b}") << "the one-byte form of ESC [";
}

TEST(EscapeTest, DirectionalMarksAndLineSeparatorsBecomeCodePoints) {
  EXPECT_EQ(Escape("a\u202eb"), "a\\u{202e}b");
  for (const std::string_view mark : {"\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068",
                                      "\u2069", "\u200e", "\u200f", "\u061c", "\u2028", "\u2029"}) {
    EXPECT_THAT(Escape(mark), StartsWith("\\u{"));
  }
}

TEST(EscapeTest, BytesThatAreNotUtf8BecomeHex) {
  EXPECT_EQ(Escape("a\xff"), "a\\xff");
  EXPECT_EQ(Escape("\xc3"), "\\xc3") << "cut in the middle";
  EXPECT_EQ(Escape("\xc0\x80"), "\\xc0\\x80") << "overlong";
  EXPECT_EQ(Escape("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "surrogate";
}

TEST(EscapeTest, BackslashIsDoubledSoThatEscapesAreUnambiguous) {
  EXPECT_EQ(Escape("\\"), "\\\\");
  EXPECT_EQ(Escape("\\u{202e}"), "\\\\u{202e}");
}

TEST(QuoteTest, QuotesAreEscapedWithin) {
  EXPECT_EQ(Quote(""), "\"\"");
  EXPECT_EQ(Quote("a.b"), "\"a.b\"");
  EXPECT_EQ(Quote("a\"b\\c"), "\"a\\\"b\\\\c\"");
}

TEST(QuoteTest, TextOf200BytesIsWholeAndLongerTextIsShortenedInTheMiddle) {
  const std::string whole(200, 'a');
  EXPECT_EQ(Quote(whole), std::string(1, '"').append(whole).append(1, '"'));
  const std::string quoted = Quote("head" + std::string(100'000, 'a') + "tail");
  EXPECT_THAT(quoted, StartsWith("\"head"));
  EXPECT_THAT(quoted, EndsWith("tail\""));
  EXPECT_THAT(quoted, HasSubstr("..."));
  EXPECT_THAT(quoted.size(), Le(210U));
}

TEST(QuoteTest, LongTextOfManyByteCharactersIsCutBetweenThem) {
  for (const std::string_view character : {"é", "重", "🚢"}) {
    for (int lead = 0; lead < 4; ++lead) {
      std::string text(static_cast<std::size_t>(lead), 'a');
      for (int i = 0; i < 300; ++i) text += character;
      const std::string quoted = Quote(text);
      EXPECT_TRUE(IsValidUtf8(quoted));
      EXPECT_EQ(quoted.find("\\x"), std::string::npos) << quoted;
      EXPECT_THAT(quoted.size(), Le(220U));
    }
  }
}

TEST(QuoteTest, LongTextThatIsNotUtf8IsShortenedToo) {
  for (const char byte : {'\x80', '\xbf', '\xff', '\xf0', '\0'}) {
    EXPECT_THAT(Quote(std::string(100'000, byte)).size(), Le(2000U)) << static_cast<int>(byte);
  }
}

TEST(JsonQuoteTest, UnsafeCharactersBecomeJsonEscapes) {
  EXPECT_EQ(JsonQuote(""), R"("")");
  EXPECT_EQ(JsonQuote("a.b größe 🚢"), R"("a.b größe 🚢")");
  EXPECT_EQ(JsonQuote(R"(a"b\c/d)"), R"("a\"b\\c/d")");
  EXPECT_EQ(JsonQuote("a\n\x1b\x7f"), R"("a\u000a\u001b\u007f")");
  EXPECT_EQ(JsonQuote(Utf8(0x202E) + Utf8(0xE0001)), R"("\u202e\udb40\udc01")");
}

TEST(JsonQuoteTest, TextThatIsNotUtf8IsEscapedFirst) { EXPECT_EQ(JsonQuote("\xff\"\n\\"), R"("\\xff\"\\u{a}\\\\")"); }

TEST(IsValidUtf8Test, EdgesOfEachLengthAreRecognized) {
  for (const std::string_view valid : {"", "a", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                                       "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(IsValidUtf8(valid)) << Escape(valid);
  }
  for (const std::string_view invalid : {"\x80",
                                         "\xbf",
                                         "\xc0\xaf",
                                         "\xc1\xbf",
                                         "\xc2",
                                         "\xc2 ",
                                         "\xe0\x80\x80",
                                         "\xe0\x9f\xbf",
                                         "\xe0\xa0",
                                         "\xed\xa0\x80",
                                         "\xed\xbf\xbf",
                                         "\xf0\x80\x80\x80",
                                         "\xf0\x8f\xbf\xbf",
                                         "\xf0\x90\x80",
                                         "\xf4\x90\x80\x80",
                                         "\xf5\x80\x80\x80",
                                         "\xfe",
                                         "\xff",
                                         "a\x80",
                                         "\xc3\xa9\xa9"}) {
    EXPECT_FALSE(IsValidUtf8(invalid)) << Escape(invalid);
  }
}

TEST(EscapeTest, RandomBytesBecomeValidUtf8WithoutControlsAndCanBeRestored) {
  test::Random random;
  for (int i = 0; i < 50'000; ++i) {
    const std::string text = random.Bytes(random.Below(12));
    const std::string escaped = Escape(text);
    ASSERT_TRUE(IsValidUtf8(escaped));
    for (const char c : escaped) ASSERT_TRUE(static_cast<std::uint8_t>(c) >= 0x20 && c != '\x7f') << escaped;
    ASSERT_EQ(Unescape(escaped), text) << escaped;
  }
}

}  // namespace
}  // namespace tensorferry
