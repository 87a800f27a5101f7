// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TENSOR_INFO_H_
#define TENSORFERRY_TENSOR_INFO_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tensorferry/dtype.h"

namespace tensorferry {

// The description of a tensor, without its data.
struct TensorInfo {
  std::string name;
  Dtype dtype = Dtype::kU8;
  // The size of each dimension, outermost first; empty for a scalar.
  std::vector<std::int64_t> shape;
  // The size of the data.
  std::int64_t size_bytes = 0;
  // The name of the model's file that holds the tensor.
  std::string file;
  // The offset of the data from the beginning of that file.
  std::int64_t file_offset = 0;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_TENSOR_INFO_H_
