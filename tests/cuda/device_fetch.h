// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_CUDA_DEVICE_FETCH_H_
#define TENSORFERRY_TESTS_CUDA_DEVICE_FETCH_H_

#include <optional>
#include <string>
#include <vector>

#include "tensorferry/client.h"
#include "tensorferry/cuda.h"

namespace tensorferry::test {

// A read into device memory, and what it shall bring.
struct DeviceRead {
  std::string tensor;
  std::optional<SliceSpec> slice = std::nullopt;
  std::string expected = {};
  std::optional<CudaStream> stream = std::nullopt;
};

// Device memory for several reads, one behind the other with gaps between, and the destinations in it. What is around
// them has a known value, so that a byte in the wrong place shows.
class DeviceReads {
 public:
  // `gaps`: how many bytes are left out before each read, over and over. Unless `filled`, what is around the reads has
  // any value.
  static absl::StatusOr<DeviceReads> Create(const CudaDevice& device, std::vector<DeviceRead> reads,
                                            const std::vector<std::int64_t>& gaps, bool filled = true);

  // To be given to a fetch.
  const std::vector<Read>& reads() const { return fetched_; }

  // Reads everything back, and says what is wrong. OK: every byte of every read is there, and nothing else changed.
  absl::Status Check(const CudaDevice& device) const;

 private:
  DeviceReads(std::vector<DeviceRead> reads, CudaMemory memory)
      : wanted_(std::move(reads)), memory_(std::move(memory)) {}

  std::vector<DeviceRead> wanted_;
  CudaMemory memory_;
  bool filled_ = true;
  std::vector<std::size_t> offsets_;
  std::vector<CudaDestination> destinations_;
  std::vector<Read> fetched_;
};

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_CUDA_DEVICE_FETCH_H_
