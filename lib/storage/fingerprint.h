// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_STORAGE_FINGERPRINT_H_
#define TENSORFERRY_LIB_STORAGE_FINGERPRINT_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "tensorferry/storage/mapped_file.h"
#include "tensorferry/storage/safetensors_file.h"

namespace tensorferry {

// A SHA-256 that is fed piece by piece (OpenSSL's, which gRPC brings along). Not safe for concurrent use.
class Digest {
 public:
  Digest();
  Digest(Digest&&) noexcept;
  ~Digest();

  void Add(std::span<const std::byte> data);
  // Adds the size of `text` and `text`, so that what follows cannot be taken for a part of it.
  void AddText(std::string_view text);
  // The lower-case hexadecimal digest of all that was added. To be called once.
  std::string Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A token for a safetensors file's bytes that does not need all of them: a digest of the header, the size, and samples
// of every tensor: all of a tensor of up to 1 KiB, and four runs of 256 bytes, the first and the last bytes among them,
// of a larger one. It cannot see a change that leaves all of these as they are.
// Errors: those of reading the file.
absl::StatusOr<std::string> SampledFingerprint(const SafetensorsFile& file);

// A token for a file's bytes that is a digest of all of them. Errors: those of reading the file.
absl::StatusOr<std::string> FullFingerprint(const MappedFile& file);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_STORAGE_FINGERPRINT_H_
