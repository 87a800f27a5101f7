// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SAFETENSORS_HEADER_H_
#define TENSORFERRY_SAFETENSORS_HEADER_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tensorferry/dtype.h"

namespace tensorferry::safetensors {

// What a header may cost. The defaults admit every model that is published today. Whatever is said here, a header has
// less than 4 GiB and a rank below 2^16.
struct Limits {
  std::int64_t header_bytes = 100'000'000;
  std::int64_t tensors = 1'000'000;
  std::int64_t rank = 64;
  std::int64_t name_bytes = 4096;
  std::int64_t nesting = 64;
};

// A file is an 8-byte little-endian length, that many bytes of JSON (the header), and the data buffer.
inline constexpr std::int64_t kPrefixBytes = 8;

using Metadata = std::map<std::string, std::string, std::less<>>;

// One tensor of a Header; what it points to lives as long as the header.
struct TensorView {
  std::string_view name;
  Dtype dtype = Dtype::kU8;
  std::span<const std::int64_t> shape;
  // The half-open range of the data buffer.
  std::int64_t begin = 0;
  std::int64_t end = 0;

  std::int64_t size_bytes() const { return end - begin; }
};

// Reads the length prefix: the size of the header of a file of `file_size_bytes`.
// Errors: DATA_LOSS: the file is shorter than the prefix or than the header, or the header is over the limit.
absl::StatusOr<std::int64_t> ParseHeaderSize(std::span<const std::byte, 8> prefix, std::int64_t file_size_bytes,
                                             const Limits& limits = {});

// The validated header of a safetensors file: which tensors stand where in its data buffer, and the `__metadata__`.
// Immutable; safe for concurrent use by multiple threads. Takes about 50 bytes a tensor beside names and shapes.
//
// The judge of validity is the format's reference (the safetensors crate); the README lists where this is stricter.
class Header {
 public:
  // Parses and validates the header's JSON, which comes from an untrusted source, against a data buffer of that size.
  // Every tensor of a header that was accepted lies inside the data buffer, the tensors tile it exactly, and each has
  // the size that its dtype and shape say.
  // Errors: DATA_LOSS, naming the tensor or the byte where the header breaks the rules.
  static absl::StatusOr<Header> Parse(std::string_view json, std::int64_t data_size_bytes, const Limits& limits = {});

  Header(Header&&) = default;
  Header& operator=(Header&&) = default;

  std::size_t tensor_count() const { return entries_.size(); }
  // The tensor with that place in the (bytewise) order of names.
  TensorView tensor(std::size_t index) const;
  // The tensor with that place in the order of the data buffer.
  TensorView tensor_by_offset(std::size_t index) const { return tensor(by_offset_[index]); }
  // The place of a tensor in the order of names, or nothing. O(log tensor_count).
  std::optional<std::size_t> Find(std::string_view name) const;

  // The `__metadata__` of the header; empty if there is none.
  const Metadata& metadata() const { return metadata_; }
  std::int64_t data_size_bytes() const { return data_size_bytes_; }

 private:
  friend class HeaderBuilder;

  // Compact: a catalog holds millions of these.
  struct Entry {
    std::int64_t begin = 0;
    std::int64_t end = 0;
    std::uint32_t name_offset = 0;   // in names_
    std::uint32_t shape_offset = 0;  // in shapes_
    std::uint32_t name_size = 0;
    std::uint16_t rank = 0;
    Dtype dtype = Dtype::kU8;
  };

  Header() = default;

  std::string names_;
  std::vector<std::int64_t> shapes_;
  std::vector<Entry> entries_;            // ordered by name
  std::vector<std::uint32_t> by_offset_;  // indices of entries_
  Metadata metadata_;
  std::int64_t data_size_bytes_ = 0;
};

}  // namespace tensorferry::safetensors

#endif  // TENSORFERRY_SAFETENSORS_HEADER_H_
