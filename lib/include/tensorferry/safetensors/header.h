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

// Limits for a header from an untrusted source. The defaults admit every model that is published today. In addition, a
// header is always smaller than 4 GiB, and ranks are below 2^16.
struct Limits {
  std::int64_t header_bytes = 100'000'000;
  std::int64_t tensors = 1'000'000;
  std::int64_t rank = 64;
  std::int64_t name_bytes = 4096;
  std::int64_t nesting = 64;
};

// The size of the length prefix. A file consists of this little-endian length, the header (JSON of that length), and
// the data buffer.
inline constexpr std::int64_t kPrefixBytes = 8;

// The `__metadata__` of a header.
using Metadata = std::map<std::string, std::string, std::less<>>;

// One tensor of a Header. The name and the shape are valid while the header exists.
struct TensorView {
  std::string_view name;
  Dtype dtype = Dtype::kU8;
  std::span<const std::int64_t> shape;
  // The range [begin, end) of the data buffer.
  std::int64_t begin = 0;
  std::int64_t end = 0;

  std::int64_t size_bytes() const { return end - begin; }
};

// Decodes the length prefix of a file of `file_size_bytes`. Returns the size of the header.
// Errors: DATA_LOSS: the file is shorter than the prefix or the header, or the header exceeds the limit.
absl::StatusOr<std::int64_t> ParseHeaderSize(std::span<const std::byte, 8> prefix, std::int64_t file_size_bytes,
                                             const Limits& limits = {});

// The validated header of a safetensors file: its tensors, their places in the data buffer, and the `__metadata__`.
// Takes about 50 bytes per tensor in addition to names and shapes. Immutable; safe for concurrent use by multiple
// threads.
//
// The format's reference, the safetensors crate, defines validity. lib/safetensors/README.md lists the files that we
// refuse and the reference accepts.
class Header {
 public:
  // Parses the JSON of a header from an untrusted source, and validates it against the size of the data buffer. The
  // tensors of a valid header tile the data buffer without gaps or overlaps. The size of each matches its dtype and
  // shape. Errors: DATA_LOSS, with the tensor or the byte that is invalid.
  static absl::StatusOr<Header> Parse(std::string_view json, std::int64_t data_size_bytes, const Limits& limits = {});

  Header(Header&&) = default;
  Header& operator=(Header&&) = default;

  std::size_t tensor_count() const { return entries_.size(); }
  // Returns the tensor with this index in the bytewise order of names.
  TensorView tensor(std::size_t index) const;
  // Returns the tensor with this index in the order of the data buffer.
  TensorView tensor_by_offset(std::size_t index) const { return tensor(by_offset_[index]); }
  // Returns the index of a tensor in the order of names, or nothing. O(log tensor_count).
  std::optional<std::size_t> Find(std::string_view name) const;

  // The `__metadata__` of the header; empty if there is none.
  const Metadata& metadata() const { return metadata_; }
  std::int64_t data_size_bytes() const { return data_size_bytes_; }

 private:
  friend class HeaderBuilder;

  // Compact, because a catalog holds millions of entries.
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
