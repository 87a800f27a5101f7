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

// The `descr` by which NumPy's .npy format names a dtype, for example "<f4"; nothing for those that NumPy lacks.
std::optional<std::string_view> NpyDescr(Dtype dtype);

// What stands before the data in a .npy file of format version 1.0; a multiple of 64 bytes long.
std::string NpyHeader(std::string_view descr, std::span<const std::int64_t> shape);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_OUTPUT_NPY_H_
