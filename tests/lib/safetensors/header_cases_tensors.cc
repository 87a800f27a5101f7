// SPDX-License-Identifier: Apache-2.0
// What is wrong with well-formed JSON: entries, numbers, dtypes, layout, metadata.
#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tensorferry/dtype.h"
#include "tests/lib/safetensors/header_cases.h"
#include "tests/testing/safetensors_bytes.h"

namespace tensorferry::test {
namespace {

std::string Data(std::int64_t size) { return std::string(static_cast<std::size_t>(size), 'x'); }

// A file with these entries, each as EntryJson gives it, and so many bytes of data.
std::string File(const std::vector<std::string>& entries, std::int64_t data_size) {
  return SafetensorsBytes(fmt::format("{{{}}}", fmt::join(entries, ",")), Data(data_size));
}

// A file of one U8 tensor "t" whose shape and offsets stand as they are.
std::string FileWith(std::string_view shape_json, std::string_view offsets_json, std::int64_t data_size) {
  return SafetensorsBytes(
      fmt::format(R"({{"t":{{"dtype":"U8","shape":{},"data_offsets":{}}}}})", shape_json, offsets_json),
      Data(data_size));
}

// A file of one tensor "t" of that dtype, which stands as it is.
std::string FileOf(std::string_view dtype_json, std::string_view shape_json, std::int64_t data_size) {
  return SafetensorsBytes(
      fmt::format(R"({{"t":{{"dtype":{},"shape":[{}],"data_offsets":[0,{}]}}}})", dtype_json, shape_json, data_size),
      Data(data_size));
}

// A file whose only tensor has this for an entry.
std::string FileOfEntry(std::string_view entry_json, std::int64_t data_size = 1) {
  return SafetensorsBytes(fmt::format(R"({{"t":{}}})", entry_json), Data(data_size));
}

std::string FileOfMetadata(std::string_view metadata_json) {
  return SafetensorsBytes(fmt::format(R"({{"__metadata__":{}}})", metadata_json));
}

std::string U8(std::string_view name_json, std::int64_t begin, std::int64_t end) {
  return EntryJson(name_json, "U8", std::to_string(end - begin), begin, end);
}

}  // namespace

std::vector<HeaderCase> EntryCases() {
  const std::string fields = R"("dtype":"U8","shape":[1],"data_offsets":[0,1])";
  const auto with = [&](std::string_view more) { return FileOfEntry(fmt::format("{{{},{}}}", fields, more)); };
  return {
      {"UnknownField", with(R"("x":1)"), ""},
      {"UnknownNestedField", with(R"("x":{"dtype":["F32",{"shape":null}],"data_offsets":-1.5e3},"y":[[],{}])"), ""},
      {"UnknownFieldFirst", FileOfEntry(R"({"x":{"a":{}},)" + fields + "}"), ""},
      {"UnknownFieldOfEachType", with(R"("a":null,"b":true,"c":-1,"d":1.5,"e":"","f":123456789012345678901234567890)"),
       ""},
      {"UnknownFieldWithNestedSameKeys", with(R"("x":{"y":1,"y":2})"), ""},
      {"EmptyName", File({U8("", 0, 1)}, 1), ""},
      {"NameWithDotDot", File({U8("../../etc/passwd", 0, 1)}, 1), ""},
      {"NameThatLooksLikeMetadata", File({U8("__metadata", 0, 1)}, 1), ""},
      {"NullEntry", FileOfEntry("null", 0), "tensor \"t\""},
      {"NumberEntry", FileOfEntry("1", 0), "tensor \"t\""},
      {"StringEntry", FileOfEntry("\"U8\"", 0), "tensor \"t\""},
      {"ArrayEntry", FileOfEntry(R"(["U8",[1],[0,1]])"), "an array, not an object"},
      {"EmptyArrayEntry", FileOfEntry("[]", 0), "an array, not an object"},
      {"EmptyEntry", FileOfEntry("{}", 0), "dtype is missing"},
      {"NoDtype", FileOfEntry(R"({"shape":[1],"data_offsets":[0,1]})"), "dtype is missing"},
      {"NoShape", FileOfEntry(R"({"dtype":"U8","data_offsets":[0,1]})"), "shape is missing"},
      {"NoOffsets", FileOfEntry(R"({"dtype":"U8","shape":[1]})"), "data_offsets is missing"},
      {"FieldNamesInCapitals", FileOfEntry(R"({"DTYPE":"U8","shape":[1],"data_offsets":[0,1]})"), "dtype is missing"},
      {"FieldInsideAnUnknownOne", FileOfEntry(R"({"x":{"dtype":"U8"},"shape":[1],"data_offsets":[0,1]})"),
       "dtype is missing"},
      {"DtypeTwice", with(R"("dtype":"U8")"), "duplicate field \"dtype\""},
      {"ShapeTwice", with(R"("shape":[1])"), "duplicate field \"shape\""},
      {"OffsetsTwice", with(R"("data_offsets":[0,1])"), "duplicate field \"data_offsets\""},
      {"DtypeTwiceInOtherSpelling", with(R"("\u0064type":"U8")"), "duplicate field \"dtype\""},
      {"UnknownFieldTwice", with(R"("x":1,"x":1)"), "duplicate field \"x\""},
      {"ShapeNull", FileWith("null", "[0,1]", 1), "shape"},
      {"ShapeNumber", FileWith("1", "[0,1]", 1), "shape"},
      {"ShapeString", FileWith("\"1\"", "[0,1]", 1), "shape"},
      {"ShapeObject", FileWith("{}", "[0,1]", 1), "shape"},
      {"ShapeNested", FileWith("[[1]]", "[0,1]", 1), "shape"},
      {"ShapeOfObject", FileWith("[{}]", "[0,1]", 1), "shape"},
      {"OffsetsNull", FileWith("[1]", "null", 1), "data_offsets"},
      {"OffsetsNumber", FileWith("[1]", "1", 1), "data_offsets"},
      {"OffsetsObject", FileWith("[1]", R"({"0":0,"1":1})", 1), "data_offsets"},
      {"OffsetsNested", FileWith("[1]", "[[0,1]]", 1), "data_offsets"},
      {"NoOffset", FileWith("[1]", "[]", 1), "data_offsets has 0 elements"},
      {"OneOffset", FileWith("[1]", "[1]", 1), "data_offsets has 1 element"},
      {"ThreeOffsets", FileWith("[1]", "[0,1,1]", 1), "data_offsets has 3 elements"},
      {"SameNameTwice", File({U8("a", 0, 1), U8("a", 1, 2)}, 2), "duplicate tensor \"a\""},
      {"SameEntryTwice", File({U8("a", 0, 1), U8("a", 0, 1)}, 1), "duplicate tensor \"a\""},
      {"SameEmptyEntryTwice", File({U8("a", 0, 0), U8("a", 0, 0)}, 0), "duplicate tensor \"a\""},
      {"SameNameInOtherSpelling", File({U8("a", 0, 1), U8("\\u0061", 1, 2)}, 2), "duplicate tensor \"a\""},
      {"SameSlashInOtherSpelling", File({U8("a/b", 0, 1), U8("a\\/b", 1, 2)}, 2), "duplicate tensor"},
  };
}

std::vector<HeaderCase> NumberCases() {
  return {
      {"Scalar", FileWith("[]", "[0,1]", 1), ""},
      {"ZeroDimension", FileWith("[0]", "[0,0]", 0), ""},
      {"ZeroBesideTheLargestDimension", FileWith("[0,9223372036854775807]", "[0,0]", 0), ""},
      {"ProductOfDimensionsThatFits", FileWith("[4294967295,4294967296,0]", "[0,0]", 0), ""},
      {"NegativeDimension", FileWith("[-1]", "[0,1]", 1), "negative"},
      {"NegativeZero", FileWith("[-0]", "[0,0]", 0), "shape"},
      {"FractionDimension", FileWith("[1.5]", "[0,1]", 1), "shape"},
      {"WholeFractionDimension", FileWith("[1.0]", "[0,1]", 1), "shape"},
      {"ExponentDimension", FileWith("[1e0]", "[0,1]", 1), "shape"},
      {"StringDimension", FileWith("[\"1\"]", "[0,1]", 1), "shape"},
      {"NullDimension", FileWith("[null]", "[0,1]", 1), "shape"},
      {"TrueDimension", FileWith("[true]", "[0,1]", 1), "shape"},
      {"DimensionOverInt64", FileWith("[0,9223372036854775808]", "[0,0]", 0), "9223372036854775808"},
      {"DimensionOfUint64", FileWith("[18446744073709551615]", "[0,1]", 1), "signed 64-bit"},
      {"DimensionOverUint64", FileWith("[18446744073709551617]", "[0,1]", 1), "shape"},
      {"DimensionThatWrapsToOne", FileWith("[36893488147419103233]", "[0,1]", 1), "shape"},
      {"ProductOverUint64", FileWith("[4294967296,4294967297]", "[0,0]", 0), "64 bits"},
      {"ProductThatWrapsToZero", FileWith("[4294967296,4294967296]", "[0,0]", 0), "64 bits"},
      {"ProductThatWrapsBeforeAZero", FileWith("[4294967296,4294967296,0]", "[0,0]", 0), "64 bits"},
      {"BitsThatWrap", FileWith("[2305843009213693952]", "[0,0]", 0), "64 bits"},
      {"WidthThatWraps", FileOf("\"F64\"", "2305843009213693953", 8), "64 bits"},
      {"NegativeBegin", FileWith("[1]", "[-1,0]", 1), "data_offsets"},
      {"NegativeEnd", FileWith("[1]", "[0,-1]", 1), "data_offsets"},
      {"FractionOffset", FileWith("[1]", "[0,1.0]", 1), "data_offsets"},
      {"ExponentOffset", FileWith("[1]", "[0,1e0]", 1), "data_offsets"},
      {"StringOffset", FileWith("[1]", "[\"0\",1]", 1), "data_offsets"},
      {"NullOffset", FileWith("[1]", "[null,1]", 1), "data_offsets"},
      {"OffsetOverUint64", FileWith("[1]", "[0,18446744073709551617]", 1), "data_offsets"},
      {"OffsetOfUint64", FileWith("[1]", "[18446744073709551615,18446744073709551615]", 1), "data_offsets"},
      {"OffsetOverInt64", FileWith("[1]", "[9223372036854775808,9223372036854775809]", 1), "exceed the data buffer"},
      {"OffsetThatWrapsToTheEnd", FileWith("[1]", "[18446744073709551615,0]", 1), "data_offsets"},
  };
}

std::vector<HeaderCase> DtypeCases() {
  std::vector<HeaderCase> cases;
  for (const Dtype dtype : AllDtypes()) {
    const std::string name(DtypeName(dtype));
    // Four elements are a whole number of bytes of any dtype.
    cases.push_back({name, FileOf('"' + name + '"', "4", BitWidth(dtype) / 2), ""});
  }
  const std::vector<HeaderCase> more = {
      {"EscapedDtype", FileOf("\"\\u00558\"", "1", 1), ""},
      {"NarrowAcrossDimensions", FileOf("\"F4\"", "2,3", 3), ""},
      {"NarrowEmpty", FileOf("\"F6_E2M3\"", "0", 0), ""},
      {"LowerCase", FileOf("\"f32\"", "1", 4), "dtype \"f32\" is not known"},
      {"Unknown", FileOf("\"F128\"", "1", 16), "dtype \"F128\" is not known"},
      {"Empty", FileOf("\"\"", "1", 1), "dtype \"\" is not known"},
      {"TorchName", FileOf("\"float32\"", "1", 4), "is not known"},
      {"NumpyName", FileOf("\"<f4\"", "1", 4), "is not known"},
      {"TrailingSpace", FileOf("\"F32 \"", "1", 4), "is not known"},
      {"EscapedNul", FileOf("\"F32\\u0000\"", "1", 4), "is not known"},
      {"TerminalEscape", FileOf("\"\\u001b[2J\"", "1", 4), "\\u{1b}[2J"},
      {"Number", FileOf("32", "1", 4), "dtype"},
      {"Null", FileOf("null", "1", 4), "dtype"},
      {"Array", FileOf("[\"F32\"]", "1", 4), "dtype"},
      {"Object", FileOf("{\"F32\":null}", "1", 4), "dtype"},
      {"NarrowScalar", FileOf("\"F4\"", "", 1), "whole number of bytes"},
      {"NarrowOdd", FileOf("\"F4\"", "3", 2), "whole number of bytes"},
      {"SixBitsOfTwo", FileOf("\"F6_E2M3\"", "2", 2), "whole number of bytes"},
      {"SixBitsOfThree", FileOf("\"F6_E3M2\"", "3", 2), "whole number of bytes"},
  };
  cases.insert(cases.end(), more.begin(), more.end());
  return cases;
}

std::vector<HeaderCase> LayoutCases() {
  return {
      {"TwoTensors", File({U8("a", 0, 2), U8("b", 2, 5)}, 5), ""},
      {"AnyOrder", File({U8("b", 2, 5), U8("a", 0, 2), U8("c", 5, 6)}, 6), ""},
      {"AnyAlignment", File({U8("a", 0, 1), EntryJson("b", "F64", "1", 1, 9)}, 9), ""},
      {"EmptyTensorAtTheStart", File({U8("z", 0, 0), U8("a", 0, 2)}, 2), ""},
      {"EmptyTensorBetween", File({U8("a", 0, 2), U8("z", 2, 2), U8("b", 2, 3)}, 3), ""},
      {"EmptyTensorAtTheEnd", File({U8("a", 0, 2), U8("z", 2, 2)}, 2), ""},
      {"ManyEmptyTensors", File({U8("a", 0, 0), U8("b", 0, 0), U8("c", 0, 0)}, 0), ""},
      {"DataWithoutTensors", SafetensorsBytes("{}", "x"), "data buffer has 1 bytes"},
      {"DataAfterTheLast", File({U8("a", 0, 2)}, 3), "the tensors end at 2"},
      {"DataCutByOne", File({U8("a", 0, 2)}, 1), "exceed the data buffer of 1 bytes"},
      {"NoData", File({U8("a", 0, 2)}, 0), "exceed the data buffer of 0 bytes"},
      {"HoleAtTheStart", File({U8("a", 1, 2)}, 2), "tensor \"a\" begins at 1"},
      {"HoleBetween", File({U8("a", 0, 2), U8("b", 3, 5)}, 5), "tensor \"b\" begins at 3"},
      {"OverlapByOne", File({U8("a", 0, 2), U8("b", 1, 3)}, 3), "tensor \"b\" begins at 1, inside"},
      {"SameBytesTwice", File({U8("a", 0, 2), U8("b", 0, 2)}, 2), "begins at 0, inside"},
      {"TensorInsideAnother", File({U8("a", 0, 4), U8("b", 1, 2)}, 4), "inside"},
      {"EmptyTensorInsideAnother", File({U8("a", 0, 4), U8("z", 2, 2)}, 4), "tensor \"z\" begins at 2, inside"},
      {"EmptyTensorBehindTheEnd", File({U8("a", 0, 1), U8("z", 2, 2)}, 1), "exceed the data buffer"},
      {"BeginAfterEnd", FileWith("[1]", "[1,0]", 1), "end before they begin"},
      {"ShapeSaysMore", FileWith("[2]", "[0,1]", 1), "say 2"},
      {"ShapeSaysLess", FileWith("[1]", "[0,2]", 2), "say 1"},
      {"ScalarOfNoBytes", FileWith("[]", "[0,0]", 0), "say 1"},
      {"ZeroSizeWithBytes", FileWith("[0]", "[0,1]", 1), "say 0"},
      {"WidthSaysMore", FileOf("\"F32\"", "1", 3), "say 4"},
      {"NarrowSaysLess", FileOf("\"F4\"", "4", 4), "say 2"},
      {"OffsetsOfTheFileInsteadOfTheData", FileWith("[1]", "[64,65]", 1), "exceed the data buffer"},
  };
}

std::vector<HeaderCase> MetadataCases() {
  return {
      {"EmptyMetadata", FileOfMetadata("{}"), ""},
      {"OneKey", FileOfMetadata(R"({"format":"pt"})"), ""},
      {"EmptyKeyAndValue", FileOfMetadata(R"({"":""})"), ""},
      {"NullMetadata", FileOfMetadata("null"), ""},
      {"JsonInAValue", FileOfMetadata(R"({"config":"{\"a\":[1]}"})"), ""},
      {"KeyNamedLikeAField", FileOfMetadata(R"({"dtype":"U8","shape":"[1]","__metadata__":"x"})"), ""},
      {"MetadataAfterTensors", SafetensorsBytes("{" + U8("a", 0, 1) + R"(,"__metadata__":{"a":"b"}})", "x"), ""},
      {"EscapedSpellingOfMetadata", SafetensorsBytes(R"({"\u005f_metadata__":{"a":"b"}})"), ""},
      {"ArrayMetadata", FileOfMetadata("[]"), "__metadata__ is not an object of strings"},
      {"StringMetadata", FileOfMetadata("\"x\""), "__metadata__ is not an object of strings"},
      {"NumberMetadata", FileOfMetadata("1"), "__metadata__ is not an object of strings"},
      {"TrueMetadata", FileOfMetadata("true"), "__metadata__ is not an object of strings"},
      {"NumberValue", FileOfMetadata(R"({"a":1})"), "__metadata__ is not an object of strings"},
      {"NullValue", FileOfMetadata(R"({"a":null})"), "__metadata__ is not an object of strings"},
      {"TrueValue", FileOfMetadata(R"({"a":true})"), "__metadata__ is not an object of strings"},
      {"ObjectValue", FileOfMetadata(R"({"a":{"b":"c"}})"), "__metadata__ is not an object of strings"},
      {"ArrayValue", FileOfMetadata(R"({"a":["b"]})"), "__metadata__ is not an object of strings"},
      {"TensorAsMetadata", FileOfMetadata(R"({"dtype":"U8","shape":[0],"data_offsets":[0,0]})"), "__metadata__"},
      {"MetadataTwice", SafetensorsBytes(R"({"__metadata__":{"a":"b"},"__metadata__":{"c":"d"}})"), "__metadata__"},
      {"MetadataTwiceInOtherSpelling", SafetensorsBytes(R"({"__metadata__":{},"\u005f_metadata__":{}})"),
       "duplicate __metadata__"},
      {"NullMetadataTwice", SafetensorsBytes(R"({"__metadata__":null,"__metadata__":null})"), "duplicate __metadata__"},
      {"NullThenMetadata", SafetensorsBytes(R"({"__metadata__":null,"__metadata__":{}})"), "duplicate __metadata__"},
      {"KeyTwice", FileOfMetadata(R"({"a":"b","a":"c"})"), "duplicate key \"a\""},
      {"KeyTwiceWithEqualValues", FileOfMetadata(R"({"a":"b","a":"b"})"), "duplicate key \"a\""},
      {"KeyTwiceInOtherSpelling", FileOfMetadata(R"({"a":"b","\u0061":"c"})"), "duplicate key \"a\""},
      {"NulInAKey", FileOfMetadata(R"({"a\u0000":"b"})"), "NUL"},
      {"NulInAValue", FileOfMetadata(R"({"a":"b\u0000"})"), "NUL"},
      {"LowSurrogateInAValue", FileOfMetadata(R"({"a":"\udea2"})"), "surrogate"},
      {"BrokenByteInAValue", FileOfMetadata("{\"a\":\"\xff\"}"), "not valid JSON"},
      {"RawNewlineInAValue", FileOfMetadata("{\"a\":\"\n\"}"), "not valid JSON"},
  };
}

}  // namespace tensorferry::test
