// SPDX-License-Identifier: Apache-2.0
//
// All of cuda.h for a build without CUDA's headers: no device can be opened, so that nothing else is ever called.
#include <cstdlib>

#include "tensorferry/cuda.h"

namespace tensorferry {
namespace cuda {
class Target {};
}  // namespace cuda

absl::StatusOr<CudaDevice> CudaDevice::Open(int, const CudaOptions&) {
  return absl::UnimplementedError(
      "this tensorferry was built without CUDA: cmake found no cuda.h (a CUDA toolkit has it, and the PyPI package "
      "nvidia-cuda-runtime)");
}

int CudaDevice::ordinal() const { std::abort(); }
const std::string& CudaDevice::model_name() const { std::abort(); }
absl::StatusOr<CudaMemory> CudaDevice::Allocate(std::int64_t) const { std::abort(); }
absl::Status CudaDevice::CopyToHost(const void*, std::span<std::byte>, const FetchLimits&) const { std::abort(); }

absl::StatusOr<CudaDestination> CudaDestination::Create(const CudaDevice&, void*, std::int64_t,
                                                        std::optional<CudaStream>) {
  std::abort();
}
CudaDestination::CudaDestination(CudaDestination&&) noexcept = default;
CudaDestination& CudaDestination::operator=(CudaDestination&&) noexcept = default;
CudaDestination::~CudaDestination() = default;
std::int64_t CudaDestination::size_bytes() const { std::abort(); }
absl::Status CudaDestination::Begin(const FetchLimits&) { std::abort(); }
absl::Status CudaDestination::Write(std::int64_t, std::span<const std::byte>) { std::abort(); }
absl::Status CudaDestination::WriteAll(std::int64_t, std::span<const std::span<const std::byte>>) { std::abort(); }
absl::Status CudaDestination::Finish() { std::abort(); }
void CudaDestination::Abandon(absl::Time) { std::abort(); }

}  // namespace tensorferry
