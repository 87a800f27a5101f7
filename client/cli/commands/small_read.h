// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_COMMANDS_SMALL_READ_H_
#define TENSORFERRY_CLIENT_CLI_COMMANDS_SMALL_READ_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "tensorferry/slice.h"
#include "tensorferry/tensor_info.h"

namespace tensorferry::cli {

// A read of a few contiguous bytes from the beginning of a tensor.
struct SmallRead {
  std::string tensor;
  std::optional<SliceSpec> slice;
  std::int64_t size_bytes = 0;
};

// Returns the largest read of at most `max_bytes`, from the smallest tensor that has that many bytes, else from the
// largest tensor. Reads the whole tensor if its dtype cannot be cut there. `tensors` must not be empty.
SmallRead ChooseSmallRead(std::span<const TensorInfo> tensors, std::int64_t max_bytes);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_COMMANDS_SMALL_READ_H_
