// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TENSOR_H_
#define TENSORFERRY_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tensorferry/dtype.h"
#include "tensorferry/fetch.h"

namespace tensorferry {

// A tensor or slice in memory that it owns, dense and row-major. The memory has the alignment of malloc. Safe for
// concurrent reading.
class Tensor {
 public:
  Tensor(ReadResult description, std::unique_ptr<std::byte[]> data)
      : description_(std::move(description)), data_(std::move(data)) {}

  const std::string& name() const { return description_.name; }
  Dtype dtype() const { return description_.dtype; }
  const std::vector<std::int64_t>& shape() const { return description_.shape; }
  std::int64_t size_bytes() const { return description_.size_bytes; }

  std::span<const std::byte> data() const { return {data_.get(), static_cast<std::size_t>(size_bytes())}; }
  std::span<std::byte> mutable_data() { return {data_.get(), static_cast<std::size_t>(size_bytes())}; }

  // Returns the elements as values of type T, which must fit the dtype: float for F32, std::uint16_t for the bits of
  // BF16. Empty if an element of the dtype is not as wide as T.
  template <typename T>
  std::span<const T> values() const {
    return ValuesAt<const T>(data_.get());
  }
  template <typename T>
  std::span<T> mutable_values() {
    return ValuesAt<T>(data_.get());
  }

  // Transfers the memory to the caller. The tensor is empty afterwards.
  std::unique_ptr<std::byte[]> Release() {
    description_ = {};
    return std::move(data_);
  }

 private:
  template <typename T, typename Byte>
  std::span<T> ValuesAt(Byte* data) const {
    static_assert(std::is_trivially_copyable_v<T>);
    if (BitWidth(dtype()) != 8 * static_cast<int>(sizeof(T))) return {};
    return {reinterpret_cast<T*>(data), static_cast<std::size_t>(size_bytes()) / sizeof(T)};
  }

  ReadResult description_;
  std::unique_ptr<std::byte[]> data_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_TENSOR_H_
