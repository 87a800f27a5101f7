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

// A safetensors file with a validated header, mapped into memory, so that data is read without a copy.
// Immutable; safe for concurrent use by multiple threads.
class SafetensorsFile {
 public:
  // Opens and maps the file at `path`, and validates its header.
  // Errors: DATA_LOSS: not a valid safetensors file. FAILED_PRECONDITION: not a regular file. Otherwise those of the
  // operating system, with the path.
  static absl::StatusOr<std::shared_ptr<const SafetensorsFile>> Open(const std::string& path,
                                                                     const safetensors::Limits& limits = {});

  // Validates a file that is mapped already. For our own programs: MappedFile has no public header.
  static absl::StatusOr<std::shared_ptr<const SafetensorsFile>> Create(std::shared_ptr<const MappedFile> file,
                                                                       const safetensors::Limits& limits = {});

  const safetensors::Header& header() const { return header_; }
  const std::shared_ptr<const MappedFile>& file() const { return file_; }
  // The offset of the data buffer from the beginning of the file.
  std::int64_t data_offset() const;
  // Returns the data of a tensor of header(). Valid while this object exists.
  std::span<const std::byte> data(const safetensors::TensorView& tensor) const;

 private:
  SafetensorsFile(std::shared_ptr<const MappedFile> file, safetensors::Header header)
      : file_(std::move(file)), header_(std::move(header)) {}

  std::shared_ptr<const MappedFile> file_;
  safetensors::Header header_;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_SAFETENSORS_FILE_H_
