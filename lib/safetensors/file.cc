// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/safetensors/file.h"

#include <fmt/format.h>

#include <array>
#include <string_view>

#include "lib/files/file_io.h"
#include "lib/files/mapped_file.h"
#include "lib/text/quote.h"

namespace tensorferry {
namespace {

// Reads the header into private memory: anyone who can write the file could change the mapping between check and use.
absl::StatusOr<safetensors::Header> ReadHeader(const MappedFile& file, const safetensors::Limits& limits) {
  std::array<std::byte, safetensors::kPrefixBytes> prefix;
  if (absl::Status status = ReadExactly(file.fd(), 0, prefix, file.path()); !status.ok()) return status;
  const absl::StatusOr<std::int64_t> header_size = safetensors::ParseHeaderSize(prefix, file.size_bytes(), limits);
  if (!header_size.ok()) return header_size.status();
  std::string json(static_cast<std::size_t>(*header_size), '\0');
  const std::span<std::byte> bytes = std::as_writable_bytes(std::span(json));
  if (absl::Status status = ReadExactly(file.fd(), safetensors::kPrefixBytes, bytes, file.path()); !status.ok()) {
    return status;
  }
  return safetensors::Header::Parse(json, file.size_bytes() - safetensors::kPrefixBytes - *header_size, limits);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const SafetensorsFile>> SafetensorsFile::Open(const std::string& path,
                                                                             const safetensors::Limits& limits) {
  absl::StatusOr<std::shared_ptr<const MappedFile>> file = MappedFile::Open(path);
  if (!file.ok()) return file.status();
  return Create(*std::move(file), limits);
}

absl::StatusOr<std::shared_ptr<const SafetensorsFile>> SafetensorsFile::Create(std::shared_ptr<const MappedFile> file,
                                                                               const safetensors::Limits& limits) {
  if (file->size_bytes() < safetensors::kPrefixBytes) {
    return absl::DataLossError(
        fmt::format("file {} is {} bytes long: too short to be safetensors", Quote(file->path()), file->size_bytes()));
  }
  absl::StatusOr<safetensors::Header> header = ReadHeader(*file, limits);
  if (!header.ok()) {
    return absl::Status(header.status().code(),
                        fmt::format("file {}: {}", Quote(file->path()), std::string(header.status().message())));
  }
  return std::shared_ptr<const SafetensorsFile>(new SafetensorsFile(std::move(file), *std::move(header)));
}

std::int64_t SafetensorsFile::data_offset() const { return file_->size_bytes() - header_.data_size_bytes(); }

std::span<const std::byte> SafetensorsFile::data(const safetensors::TensorView& tensor) const {
  return file_->bytes().subspan(static_cast<std::size_t>(data_offset() + tensor.begin),
                                static_cast<std::size_t>(tensor.size_bytes()));
}

}  // namespace tensorferry
