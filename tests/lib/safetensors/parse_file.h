// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_LIB_SAFETENSORS_PARSE_FILE_H_
#define TENSORFERRY_TESTS_LIB_SAFETENSORS_PARSE_FILE_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "tensorferry/safetensors/header.h"
#include "tensorferry/safetensors/index.h"

namespace tensorferry::test {

// Returns the library's result for a whole file in memory. The header is parsed from its own allocation, so that a
// sanitizer detects every read past its end.
absl::StatusOr<safetensors::Header> ParseFile(std::string_view file, const safetensors::Limits& limits = {});

// Nothing, or in what the reader of plain headers, where it accepts the file's header, and the one that judges all of
// them differ.
std::string ReadersDiffer(std::string_view file);

// Nothing, or the promise of Header::Parse that this header breaks: tensors in order, inside the
// data, tiling it, and each of the size that its dtype and shape say.
std::string BrokenInvariant(const safetensors::Header& header);

// The same for the promises of ParseIndex: in order, no tensor twice, and only names of files in the index's own
// folder.
std::string BrokenInvariant(const safetensors::WeightMap& map);

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_LIB_SAFETENSORS_PARSE_FILE_H_
