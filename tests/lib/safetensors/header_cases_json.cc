// SPDX-License-Identifier: Apache-2.0
// What is wrong before a tensor is looked at: framing, encoding, JSON, and limits.
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "tests/lib/safetensors/header_cases.h"
#include "tests/testing/safetensors_bytes.h"

namespace tensorferry::test {
namespace {

using std::string_literals::operator""s;

// A valid entry of one byte, named as the JSON says.
std::string Named(std::string_view name_json) { return EntryJson(name_json, "U8", "1", 0, 1); }

// A file of one such tensor.
std::string FileNamed(std::string_view name_json) { return SafetensorsBytes("{" + Named(name_json) + "}", "x"); }

// A file of one tensor with something more in its entry.
std::string FileWithField(std::string_view field_json) {
  std::string entry = Named("a");
  entry.insert(entry.size() - 1, "," + std::string(field_json));
  return SafetensorsBytes("{" + entry + "}", "x");
}

std::string Repeat(std::string_view text, int times) {
  std::string repeated;
  for (int i = 0; i < times; ++i) repeated += text;
  return repeated;
}

}  // namespace

std::vector<HeaderCase> FramingCases() {
  const std::string json = "{" + Named("a") + "}";
  const std::uint64_t size = json.size();
  constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
  return {
      {"EmptyObject", SafetensorsBytes("{}"), ""},
      {"OneTensor", SafetensorsBytes(json, "x"), ""},
      {"SpacePadding", SafetensorsBytes(json + "       ", "x"), ""},
      {"EmptyFile", "", "shorter"},
      {"OneByte", "\x02", "shorter"},
      {"SevenBytes", "\x02\0\0\0\0\0\0"s, "shorter"},
      {"OnlyThePrefix", "\x02\0\0\0\0\0\0\0"s, "shorter"},
      {"HeaderCutByOne", SafetensorsBytesWithLength(size + 1, json), "shorter"},
      {"ZeroLength", SafetensorsBytesWithLength(0, ""), "not a JSON object"},
      {"ZeroLengthBeforeJson", SafetensorsBytesWithLength(0, json, "x"), "not a JSON object"},
      {"LengthOneTooSmall", SafetensorsBytesWithLength(size - 1, json, "x"), "not valid JSON"},
      {"LengthOneTooLarge", SafetensorsBytesWithLength(size + 1, json, "xy"), "not valid JSON"},
      {"LengthOverTheFile", SafetensorsBytesWithLength(1000, json, "x"), "1000"},
      {"LengthOverTheLimit", SafetensorsBytesWithLength(100'000'001, json, "x"), "limit is 100000000"},
      {"JsonFile", "{\"architectures\":[]}", "not a safetensors file: starts with \"{\\\"archit\": JSON?"},
      {"JsonFileOnLines", "{\n  \"a\": 1\n}", ": JSON?"},
      {"LengthAtInt32", SafetensorsBytesWithLength(1ULL << 31, json, "x"), "limit"},
      {"LengthAtUint32", SafetensorsBytesWithLength(1ULL << 32, json, "x"), "limit"},
      {"LengthAtInt64", SafetensorsBytesWithLength(1ULL << 63, json, "x"), "limit"},
      {"LengthThatWrapsWithThePrefix", SafetensorsBytesWithLength(kMax - 7, json, "x"), "limit"},
      {"LengthAllOnes", SafetensorsBytesWithLength(kMax, json, "x"), "limit"},
      {"LengthBigEndian", "\0\0\0\0\0\0\0\x02{}"s, "limit"},
      {"ZipArchive", "PK\x03\x04\x14\0\0\0\0\0\0\0"s, "header"},
      {"Text", "version https://git-lfs.github.com/spec/v1\n", "limit"},
  };
}

std::vector<HeaderCase> EncodingCases() {
  return {
      {"TwoByteName", FileNamed("größe"), ""},
      {"FourByteName", FileNamed("🚢"), ""},
      {"KoreanName", FileNamed("\xed\x95\x9c"), ""},
      {"EscapedName", FileNamed(R"(\u0061\n\"\\\/\b\f\r\t)"), ""},
      {"EscapedSurrogatePair", FileNamed(R"(\ud83d\udea2)"), ""},
      {"RightToLeftName", FileNamed("a\u202eb"), ""},
      {"EscapedControlName", FileNamed(R"(\u001b[2J)"), ""},
      {"DeleteCharacterName", FileNamed("a\x7f"), ""},
      {"ByteOrderMark", SafetensorsBytes("\xef\xbb\xbf{}"), "not a JSON object"},
      {"Utf16", SafetensorsBytes("{\0}\0"s), "byte 1 is 0"},
      {"NulAfterTheObject", SafetensorsBytes("{}\0"s), "byte 2 is 0"},
      {"NulPadding", SafetensorsBytes("{}\0\0\0\0\0\0"s), "byte 2 is 0"},
      {"NulBeforeTheObject", SafetensorsBytes("\0{}"s), "byte 0 is 0"},
      {"NulWithinAName", FileNamed("a\0b"s), "is 0"},
      {"NulWithinASpace", SafetensorsBytes("{\0}"s), "is 0"},
      {"EscapedNulInAName", FileNamed(R"(a\u0000)"), "NUL"},
      {"LoneContinuationByte", FileNamed("\x80"), "not valid JSON"},
      {"LatinOne", FileNamed("gr\xf6\xdf"), "not valid JSON"},
      {"OverlongSlash", FileNamed("\xc0\xaf"), "not valid JSON"},
      {"OverlongThreeBytes", FileNamed("\xe0\x80\xaf"), "not valid JSON"},
      {"OverlongFourBytes", FileNamed("\xf0\x80\x80\xaf"), "not valid JSON"},
      {"CutCharacter", FileNamed("\xe2\x82"), "not valid JSON"},
      {"CutFourByteCharacter", FileNamed("\xf0\x9f\x9a"), "not valid JSON"},
      {"OverTheLastCodePoint", FileNamed("\xf4\x90\x80\x80"), "not valid JSON"},
      {"FiveByteCharacter", FileNamed("\xf8\x88\x80\x80\x80"), "not valid JSON"},
      {"ByteFe", FileNamed("\xfe"), "not valid JSON"},
      {"RawSurrogate", FileNamed("\xed\xa0\x80"), "header"},
      {"RawSurrogatePair", FileNamed("\xed\xa0\xbd\xed\xba\xa2"), "header"},
      {"EscapedHighSurrogate", FileNamed(R"(\ud83d)"), "header"},
      {"EscapedLowSurrogate", FileNamed(R"(\udea2)"), "surrogate"},
      {"EscapedSurrogatesReversed", FileNamed(R"(\udea2\ud83d)"), "header"},
      {"HighSurrogateThenLetter", FileNamed(R"(\ud83dx)"), "header"},
      {"HighSurrogateThenOtherEscape", FileNamed(R"(\ud83d\u0061)"), "header"},
      {"BrokenByteInAnUnknownField", FileWithField("\"x\":\"\xff\""), "not valid JSON"},
      {"LowSurrogateInAnUnknownField", FileWithField(R"("x":"\udea2")"), "surrogate"},
      {"LowSurrogateInAnUnknownFieldsName", FileWithField(R"("\udea2":1)"), "surrogate"},
      {"BrokenByteOutsideOfStrings", SafetensorsBytes("{}\xff"), "not valid JSON"},
      {"NoBreakSpace", SafetensorsBytes("{}\xc2\xa0"), "not valid JSON"},
  };
}

std::vector<HeaderCase> JsonCases() {
  const std::string entry = Named("a");
  return {
      {"LeadingSpace", SafetensorsBytes(" {}"), ""},
      {"LeadingNewline", SafetensorsBytes("\n\t\r {}"), ""},
      {"TrailingWhitespace", SafetensorsBytes("{} \n\t\r"), ""},
      {"WhitespaceBetween",
       SafetensorsBytes("{ \"a\" :\n{\"dtype\"\t: \"U8\" , \"shape\" : [ 1 ] ,"
                        "\"data_offsets\" : [ 0 ,\r1 ] } }",
                        "x"),
       ""},
      {"FieldsInAnyOrder", SafetensorsBytes(R"({"a":{"data_offsets":[0,1],"shape":[1],"dtype":"U8"}})", "x"), ""},
      {"EscapedFieldName", SafetensorsBytes(R"({"a":{"d\u0074ype":"U8","shape":[1],"data_offsets":[0,1]}})", "x"), ""},
      {"OnlyWhitespace", SafetensorsBytes("    "), "not a JSON object"},
      {"FormFeedBefore", SafetensorsBytes("\f{}"), "not a JSON object"},
      {"VerticalTabAfter", SafetensorsBytes("{}\v"), "not valid JSON"},
      {"Array", SafetensorsBytes("[]"), "not a JSON object"},
      {"Null", SafetensorsBytes("null"), "not a JSON object"},
      {"String", SafetensorsBytes("\"{}\""), "not a JSON object"},
      {"Number", SafetensorsBytes("1"), "not a JSON object"},
      {"OpenObject", SafetensorsBytes("{"), "not valid JSON"},
      {"OpenString", SafetensorsBytes("{\"a"), "not valid JSON"},
      {"OpenEntry", SafetensorsBytes("{\"a\":{"), "not valid JSON"},
      {"OpenEscape", SafetensorsBytes("{\"a\\"), "not valid JSON"},
      {"OpenUnicodeEscape", SafetensorsBytes("{\"a\\u00"), "not valid JSON"},
      {"CloseOnly", SafetensorsBytes("}"), "not a JSON object"},
      {"TwoObjects", SafetensorsBytes("{}{}"), "not valid JSON"},
      {"TextAfter", SafetensorsBytes("{}x"), "not valid JSON"},
      {"CommaAfter", SafetensorsBytes("{},"), "not valid JSON"},
      {"TrailingComma", SafetensorsBytes("{" + entry + ",}", "x"), "not valid JSON"},
      {"LeadingComma", SafetensorsBytes("{," + entry + "}", "x"), "not valid JSON"},
      {"TrailingCommaInAnArray", SafetensorsBytes(R"({"a":{"dtype":"U8","shape":[1,],"data_offsets":[0,1]}})", "x"),
       "not valid JSON"},
      {"MissingComma", SafetensorsBytes("{" + Named("a") + Named("b") + "}", "x"), "not valid JSON"},
      {"MissingColon", SafetensorsBytes(R"({"a" {}})"), "not valid JSON"},
      {"SingleQuotes", SafetensorsBytes("{'a':1}"), "not valid JSON"},
      {"BareKey", SafetensorsBytes("{a:1}"), "not valid JSON"},
      {"NumberAsKey", SafetensorsBytes("{1:1}"), "not valid JSON"},
      {"LineComment", SafetensorsBytes("{}//x"), "not valid JSON"},
      {"BlockComment", SafetensorsBytes("{/*x*/}"), "not valid JSON"},
      {"WrongBracket", SafetensorsBytes("{]"), "not valid JSON"},
      {"RawNewlineInAName", FileNamed("a\nb"), "not valid JSON"},
      {"RawControlInAName", FileNamed("a\x01"), "not valid JSON"},
      {"UnknownEscape", FileNamed("\\x61"), "not valid JSON"},
      {"ShortUnicodeEscape", FileNamed("\\u61"), "not valid JSON"},
      {"SignedUnicodeEscape", FileNamed("\\u+061"), "not valid JSON"},
      {"PythonLiteral", FileWithField("\"x\":None"), "not valid JSON"},
      {"CapitalTrue", FileWithField("\"x\":True"), "not valid JSON"},
      {"CutTrue", FileWithField("\"x\":tru"), "not valid JSON"},
      {"NotANumber", FileWithField("\"x\":NaN"), "not valid JSON"},
      {"Infinity", FileWithField("\"x\":Infinity"), "not valid JSON"},
      {"HexNumber", FileWithField("\"x\":0x10"), "not valid JSON"},
      {"LeadingZero", FileWithField("\"x\":01"), "not valid JSON"},
      {"NumberWithoutFraction", FileWithField("\"x\":1."), "not valid JSON"},
      {"NumberOutOfRange", FileWithField("\"x\":1e999"), "not valid JSON"},
  };
}

std::vector<HeaderCase> LimitCases() {
  const auto rank = [](int ones) {
    return SafetensorsBytes("{" + EntryJson("a", "U8", Repeat("1,", ones - 1) + "1", 0, 1) + "}", "x");
  };
  const auto nested = [](int depth) { return FileWithField("\"x\":" + Repeat("[", depth) + Repeat("]", depth)); };
  const auto nested_objects = [](int depth) {
    return FileWithField("\"x\":" + Repeat("{\"y\":", depth) + "1" + Repeat("}", depth));
  };
  return {
      {"RankOf64", rank(64), ""},
      {"NameOf4096Bytes", FileNamed(std::string(4096, 'n')), ""},
      {"EscapedNameOf4096Bytes", FileNamed(Repeat("\\u0061", 4096)), ""},
      {"NestingOf64", nested(62), ""},
      {"ObjectNestingOf64", nested_objects(62), ""},
      {"RankOf65", rank(65), "limit of 64"},
      {"RankOf320", rank(320), "limit of 64"},
      {"NameOf4097Bytes", FileNamed(std::string(4097, 'n')), "limit is 4096"},
      {"ManyByteNameOf4098Bytes", FileNamed(Repeat("é", 2049)), "limit is 4096"},
      {"NestingOf65", nested(63), "limit of 64"},
      {"ObjectNestingOf65", nested_objects(63), "limit of 64"},
      {"NestingOfAMillion", nested(1'000'000), "limit of 64"},
      {"OpenNestingOfAMillion", SafetensorsBytes(Repeat("{\"a\":", 1'000'000)), "header"},
      {"OpenArraysOfAMillion", SafetensorsBytes("{\"a\":" + Repeat("[", 1'000'000)), "header"},
  };
}

}  // namespace tensorferry::test
