// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_STORAGE_FINGERPRINT_H_
#define TENSORFERRY_LIB_STORAGE_FINGERPRINT_H_

#include <cstddef>
#include <memory>
#include <span>
#include <stop_token>
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

// A token for a file's bytes that is a digest of all of them: "sha256:" and the file's SHA-256.
// Errors: those of reading the file; CANCELLED: `stop`.
absl::StatusOr<std::string> FullFingerprint(const MappedFile& file, const std::stop_token& stop = {});

// The token for a file's bytes of which `sampled` is the sampled one, and the SHA-256 is said to be `known_digest`.
// What is said may be wrong, so it only adds to what was seen. An empty `known_digest` adds nothing.
std::string WithKnownDigest(const std::string& sampled, const std::string& known_digest);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_STORAGE_FINGERPRINT_H_
