// SPDX-License-Identifier: Apache-2.0
#include "lib/storage/fingerprint.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "tensorferry/files/file_io.h"

namespace tensorferry {
namespace {

constexpr std::int64_t kSampleBytes = 256;
constexpr std::int64_t kSamples = 4;

// Reads through the descriptor, not the mapping: a file that shrinks meanwhile is an error, not a signal.
absl::Status AddRange(const MappedFile& file, std::int64_t begin, std::int64_t end, Digest& digest,
                      const std::stop_token& stop = {}) {
  std::vector<std::byte> buffer(static_cast<std::size_t>(std::min<std::int64_t>(end - begin, 1 << 20)));
  while (begin < end) {
    if (stop.stop_requested()) return absl::CancelledError("stopped");
    const auto size = std::min(buffer.size(), static_cast<std::size_t>(end - begin));
    const std::span<std::byte> piece = std::span(buffer).first(size);
    if (absl::Status status = ReadExactly(file.fd(), begin, piece, file.path()); !status.ok()) return status;
    digest.Add(piece);
    begin += static_cast<std::int64_t>(size);
  }
  return absl::OkStatus();
}

// Adds samples of tensors, in their order in the file, to a digest.
class Sampler {
 public:
  Sampler(const MappedFile& file, Digest& digest) : file_(file), digest_(digest) {}

  // Adds the samples of the tensor at [begin, end).
  absl::Status Add(std::int64_t begin, std::int64_t end) {
    read_along_ = end - begin <= kMaxReadAlongBytes;
    if (end - begin <= kSamples * kSampleBytes) return AddSample(begin, end);
    for (std::int64_t i = 0; i < kSamples; ++i) {
      const std::int64_t offset = begin + (end - begin - kSampleBytes) / (kSamples - 1) * i;
      const std::int64_t sample = i == kSamples - 1 ? end - kSampleBytes : offset;
      if (absl::Status status = AddSample(sample, sample + kSampleBytes); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

 private:
  // The samples of tensors up to this size lie so close together that a window read at once costs less than each by
  // itself: it has as many pages.
  static constexpr std::int64_t kMaxReadAlongBytes = 16 << 10;
  static constexpr std::int64_t kWindowBytes = 128 << 10;

  absl::Status AddSample(std::int64_t begin, std::int64_t end) {
    if (begin < window_begin_ || end > window_begin_ + static_cast<std::int64_t>(window_.size())) {
      window_begin_ = begin;
      const std::int64_t size = read_along_ ? std::min(kWindowBytes, file_.size_bytes() - begin) : end - begin;
      window_.resize(static_cast<std::size_t>(size));
      if (absl::Status status = ReadExactly(file_.fd(), begin, window_, file_.path()); !status.ok()) return status;
    }
    digest_.Add(std::span(window_).subspan(static_cast<std::size_t>(begin - window_begin_),
                                           static_cast<std::size_t>(end - begin)));
    return absl::OkStatus();
  }

  const MappedFile& file_;
  Digest& digest_;
  bool read_along_ = false;
  std::vector<std::byte> window_;  // what was read last, from window_begin_ on
  std::int64_t window_begin_ = 0;
};

}  // namespace

struct Digest::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Digest::Digest() : state_(std::make_unique<State>()) { EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr); }
Digest::Digest(Digest&&) noexcept = default;
Digest::~Digest() = default;

void Digest::Add(std::span<const std::byte> data) { EVP_DigestUpdate(state_->context, data.data(), data.size()); }

void Digest::AddText(std::string_view text) {
  const std::string size = std::to_string(text.size()) + ':';
  Add(std::as_bytes(std::span(size)));
  Add(std::as_bytes(std::span(text)));
}

std::string Digest::Finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  EVP_DigestFinal_ex(state_->context, digest.data(), &size);
  return fmt::format("{:02x}", fmt::join(digest.begin(), digest.begin() + size, ""));
}

absl::StatusOr<std::string> SampledFingerprint(const SafetensorsFile& file) {
  const MappedFile& mapped = *file.file();
  Digest digest;
  digest.AddText("tensorferry sampled fingerprint 1");
  digest.AddText(std::to_string(mapped.size_bytes()));
  // The header as it is on disk says where every tensor begins and ends.
  if (absl::Status status = AddRange(mapped, 0, file.data_offset(), digest); !status.ok()) return status;
  Sampler sampler(mapped, digest);
  for (std::size_t i = 0; i < file.header().tensor_count(); ++i) {
    const safetensors::TensorView tensor = file.header().tensor_by_offset(i);
    const std::int64_t begin = file.data_offset() + tensor.begin;
    if (absl::Status status = sampler.Add(begin, file.data_offset() + tensor.end); !status.ok()) return status;
  }
  return "sampled-sha256:" + digest.Finish();
}

absl::StatusOr<std::string> FullFingerprint(const MappedFile& file, const std::stop_token& stop) {
  Digest digest;
  if (absl::Status status = AddRange(file, 0, file.size_bytes(), digest, stop); !status.ok()) return status;
  return "sha256:" + digest.Finish();
}

std::string WithKnownDigest(const std::string& sampled, const std::string& known_digest) {
  if (known_digest.empty()) return sampled;
  Digest digest;
  digest.AddText("tensorferry known fingerprint 1");
  digest.AddText(sampled);
  digest.AddText(known_digest);
  return "known-sha256:" + digest.Finish();
}

}  // namespace tensorferry
