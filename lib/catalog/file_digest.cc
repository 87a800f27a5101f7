// SPDX-License-Identifier: Apache-2.0
#include "lib/catalog/file_digest.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "lib/checksum/sha256.h"
#include "lib/files/file_io.h"
#include "lib/text/quote.h"

namespace tensorferry {
namespace {

// Adds [begin, end) of the file to a digest. Reads through the descriptor, not the mapping: a file that shrinks
// meanwhile is an error, not a signal.
absl::Status AddRange(const MappedFile& file, std::int64_t begin, std::int64_t end, Sha256& digest,
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
  Sampler(const MappedFile& file, Sha256& digest) : file_(file), digest_(digest) {}

  // Adds the samples of the tensor at [begin, end).
  absl::Status Add(std::int64_t begin, std::int64_t end) {
    read_along_ = end - begin <= kMaxReadAlongBytes;
    if (end - begin <= kMaxWholeSampleBytes) return AddSample(begin, end);
    for (std::int64_t i = 0; i < kSampleCount; ++i) {
      const std::int64_t offset = begin + (end - begin - kSampleBytes) / (kSampleCount - 1) * i;
      const std::int64_t sample = i == kSampleCount - 1 ? end - kSampleBytes : offset;
      if (absl::Status status = AddSample(sample, sample + kSampleBytes); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

 private:
  // The samples of tensors up to this size are so close together that one read of a window costs less than a read of
  // each sample: it has as many pages.
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
  Sha256& digest_;
  bool read_along_ = false;
  std::vector<std::byte> window_;  // the bytes of the last read, from window_begin_ on
  std::int64_t window_begin_ = 0;
};

}  // namespace

absl::StatusOr<std::string> SampledDigest(const SafetensorsFile& file) {
  const MappedFile& mapped = *file.file();
  Sha256 digest;
  digest.AddText("tensorferry sampled digest 1");
  digest.AddText(std::to_string(mapped.size_bytes()));
  // The bytes of the header include the offsets of every tensor.
  if (absl::Status status = AddRange(mapped, 0, file.data_offset(), digest); !status.ok()) return status;
  Sampler sampler(mapped, digest);
  for (std::size_t i = 0; i < file.header().tensor_count(); ++i) {
    const safetensors::TensorView tensor = file.header().tensor_by_offset(i);
    const std::int64_t begin = file.data_offset() + tensor.begin;
    if (absl::Status status = sampler.Add(begin, file.data_offset() + tensor.end); !status.ok()) return status;
  }
  return "sampled-sha256:" + digest.Finish();
}

std::string ReplacedDigest(std::string_view sampled_digest, std::string_view sha256) {
  Sha256 digest;
  digest.AddText("tensorferry replaced digest 1");
  digest.AddText(sampled_digest);
  digest.AddText(sha256);
  return "sampled+sha256:" + digest.Finish();
}

absl::Status CheckUnchangedInLoad(const MappedFile& file) {
  if (file.CheckUnchanged().ok()) return absl::OkStatus();
  return absl::AbortedError(fmt::format("file {} changed while it was loaded", Quote(file.path())));
}

absl::StatusOr<std::string> Sha256Of(const MappedFile& file, const std::stop_token& stop) {
  // Large files take minutes: stop early if one is being written to. Check an empty file too.
  constexpr std::int64_t kCheckedBytes = 64 << 20;
  Sha256 digest;
  std::int64_t begin = 0;
  do {
    const std::int64_t end = std::min(begin + kCheckedBytes, file.size_bytes());
    if (absl::Status status = AddRange(file, begin, end, digest, stop); !status.ok()) return status;
    if (absl::Status status = CheckUnchangedInLoad(file); !status.ok()) return status;
    begin = end;
  } while (begin < file.size_bytes());
  return digest.Finish();
}

}  // namespace tensorferry
