// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_SAFETENSORS_HEADER_READER_H_
#define TENSORFERRY_LIB_SAFETENSORS_HEADER_READER_H_

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "lib/safetensors/header_builder.h"
#include "tensorferry/safetensors/header.h"

namespace tensorferry::safetensors {

// The most dimensions that Header::Entry can hold.
inline constexpr std::int64_t kMaxRank = 65'535;

// Adds the tensors and the metadata of a header's JSON to `builder`, which holds none. Judges all JSON there is.
// Errors: DATA_LOSS, naming the tensor or the byte where the header breaks the rules.
absl::Status ReadHeader(std::string_view json, std::int64_t data_size_bytes, const Limits& limits,
                        HeaderBuilder& builder);

// The same, several times as fast, of headers as writers write them: strings of ASCII without escapes, entries of
// nothing but dtype, shape and data_offsets. False if there is anything else in it, or anything wrong: then `builder`
// is of no use any more, and what the header is worth is ReadHeader's to say.
bool ReadPlainHeader(std::string_view json, std::int64_t data_size_bytes, const Limits& limits, HeaderBuilder& builder);

}  // namespace tensorferry::safetensors

#endif  // TENSORFERRY_LIB_SAFETENSORS_HEADER_READER_H_
