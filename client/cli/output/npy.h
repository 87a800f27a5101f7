// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_OUTPUT_NPY_H_
#define TENSORFERRY_CLIENT_CLI_OUTPUT_NPY_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tensorferry/dtype.h"

namespace tensorferry::cli {

// Returns the `descr` of a dtype in NumPy's .npy format, for example "<f4"; nothing if NumPy lacks the dtype.
std::optional<std::string_view> NpyDescr(Dtype dtype);

// Returns the bytes before the data in a .npy file of format version 1.0. Their number is a multiple of 64.
std::string NpyHeader(std::string_view descr, std::span<const std::int64_t> shape);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_OUTPUT_NPY_H_
