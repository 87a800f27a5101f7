// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_FETCH_RUNNING_CRC_H_
#define TENSORFERRY_CLIENT_FETCH_RUNNING_CRC_H_

#include <cstdint>

#include "lib/checksum/crc32c_combine.h"

namespace tensorferry {

// The CRC-32C of bytes that arrive in runs. The checksums of a run are those of a longer chunk, up to the run's
// beginning and end. The checksum of the first run is computed only when it is needed: most results arrive in one run,
// and most are never compared.
class RunningCrc {
 public:
  // Adds a run. `before` and `after` are the checksums of the chunk up to the beginning and the end of the run.
  void Add(std::uint32_t before, std::uint32_t after, std::int64_t size_bytes) {
    if (size_bytes_ > 0) {
      after = Crc32cCombine(value(), Crc32cWithoutPrefix(after, before, size_bytes), size_bytes);
      before = 0;
    }
    size_bytes_ += size_bytes;
    before_ = before;
    after_ = after;
  }

  // Returns the checksum of all runs.
  std::uint32_t value() const { return Crc32cWithoutPrefix(after_, before_, size_bytes_); }

 private:
  std::int64_t size_bytes_ = 0;
  std::uint32_t before_ = 0;
  std::uint32_t after_ = 0;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_FETCH_RUNNING_CRC_H_
