// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SAFETENSORS_FILE_H_
#define TENSORFERRY_SAFETENSORS_FILE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "tensorferry/safetensors/header.h"

namespace tensorferry {

class MappedFile;

// A safetensors file whose header was validated and whose data can be read from memory without a copy.
// Immutable; safe for concurrent use by multiple threads.
class SafetensorsFile {
 public:
  // Opens, validates and maps the file at `path`.
  // Errors: DATA_LOSS: the file breaks the format's rules; otherwise as MappedFile::Open.
  static absl::StatusOr<std::shared_ptr<const SafetensorsFile>> Open(const std::string& path,
                                                                     const safetensors::Limits& limits = {});

  // The same of a file that is mapped already.
  static absl::StatusOr<std::shared_ptr<const SafetensorsFile>> Create(std::shared_ptr<const MappedFile> file,
                                                                       const safetensors::Limits& limits = {});

  const safetensors::Header& header() const { return header_; }
  const std::shared_ptr<const MappedFile>& file() const { return file_; }
  // Where the data buffer begins in the file.
  std::int64_t data_offset() const;
  // The data of a tensor of this file's header; valid while the file lives.
  std::span<const std::byte> data(const safetensors::TensorView& tensor) const;

 private:
  SafetensorsFile(std::shared_ptr<const MappedFile> file, safetensors::Header header)
      : file_(std::move(file)), header_(std::move(header)) {}

  std::shared_ptr<const MappedFile> file_;
  safetensors::Header header_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_SAFETENSORS_FILE_H_
