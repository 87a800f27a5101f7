// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_CLIENT_CUDA_DEVICE_MEMORY_H_
#define TENSORFERRY_TESTS_CLIENT_CUDA_DEVICE_MEMORY_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tensorferry/cuda.h"
#include "tensorferry/destination.h"

namespace tensorferry::test {

// Opens a destination's sink, as a fetch does.
absl::StatusOr<std::unique_ptr<Sink>> OpenSink(const Destination& destination);

// Writes `bytes` to a destination with the calls of a fetch, without a server.
absl::Status Fill(const Destination& destination, const std::string& bytes);

// Copies device memory to the host with the driver's own function, which only tests use.
absl::StatusOr<std::string> ReadBack(const CudaDevice& device, const void* memory, std::int64_t size_bytes);

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_CLIENT_CUDA_DEVICE_MEMORY_H_
