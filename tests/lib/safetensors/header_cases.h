// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_LIB_SAFETENSORS_HEADER_CASES_H_
#define TENSORFERRY_TESTS_LIB_SAFETENSORS_HEADER_CASES_H_

#include <ostream>
#include <string>
#include <vector>

namespace tensorferry::test {

// A file and what is to be said of it. The name is one word, and says what the file has or lacks.
struct HeaderCase {
  std::string name;
  std::string file;
  // Part of the reason for refusing the file; empty if it is valid.
  std::string reason;

  bool valid() const { return reason.empty(); }
  friend void PrintTo(const HeaderCase& c, std::ostream* out) { *out << c.name; }
};

// By class. Where a class has both, the valid cases come first.
std::vector<HeaderCase> FramingCases();
std::vector<HeaderCase> EncodingCases();
std::vector<HeaderCase> JsonCases();
std::vector<HeaderCase> EntryCases();
std::vector<HeaderCase> NumberCases();
std::vector<HeaderCase> DtypeCases();
std::vector<HeaderCase> LayoutCases();
std::vector<HeaderCase> MetadataCases();
std::vector<HeaderCase> LimitCases();

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_LIB_SAFETENSORS_HEADER_CASES_H_
