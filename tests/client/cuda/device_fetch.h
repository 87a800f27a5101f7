// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_CLIENT_CUDA_DEVICE_FETCH_H_
#define TENSORFERRY_TESTS_CLIENT_CUDA_DEVICE_FETCH_H_

#include <optional>
#include <string>
#include <vector>

#include "tensorferry/client.h"
#include "tensorferry/cuda.h"

namespace tensorferry::test {

// A read into device memory, and its expected bytes.
struct DeviceRead {
  std::string tensor;
  std::optional<SliceSpec> slice = std::nullopt;
  std::string expected = {};
  std::optional<CudaStream> stream = std::nullopt;
};

// Device memory for several reads, one after the other with gaps between them. The bytes around the reads have a known
// value, so that a byte in the wrong place is found.
class DeviceReads {
 public:
  // `gaps`: the numbers of bytes to skip before the reads, in turn. Unless `filled`, the bytes around the reads are
  // undefined.
  static absl::StatusOr<DeviceReads> Create(const CudaDevice& device, std::vector<DeviceRead> reads,
                                            const std::vector<std::int64_t>& gaps, bool filled = true);

  // The reads to fetch.
  const std::vector<Read>& reads() const { return fetched_; }

  // Reads everything back. Errors: DATA_LOSS: a byte of a read is wrong, or a byte around the reads changed.
  absl::Status Check(const CudaDevice& device) const;

 private:
  DeviceReads(std::vector<DeviceRead> reads, CudaMemory memory)
      : wanted_(std::move(reads)), memory_(std::move(memory)) {}

  std::vector<DeviceRead> wanted_;
  CudaMemory memory_;
  bool filled_ = true;
  std::vector<std::size_t> offsets_;
  std::vector<Read> fetched_;
};

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_CLIENT_CUDA_DEVICE_FETCH_H_
