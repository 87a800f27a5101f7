// SPDX-License-Identifier: Apache-2.0
#include "tests/client/cuda/device_memory.h"

#include <dlfcn.h>

#include <span>

#include "absl/time/time.h"
#include "client/cuda/primary_context.h"

namespace tensorferry::test {
namespace {

using MemcpyToHost = cuda::CUresult(void* to, cuda::CUdeviceptr from, std::size_t size);

MemcpyToHost* FindMemcpyToHost() {
  void* const library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  return library == nullptr ? nullptr : reinterpret_cast<MemcpyToHost*>(::dlsym(library, "cuMemcpyDtoH_v2"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Sink>> OpenSink(const Destination& destination) {
  if (destination.open_sink() == nullptr) return absl::InternalError("the destination opens no sink");
  return (*destination.open_sink())();
}

absl::Status Fill(const Destination& destination, const std::string& bytes) {
  const absl::StatusOr<std::unique_ptr<Sink>> sink = OpenSink(destination);
  if (!sink.ok()) return sink.status();
  absl::Status status = (*sink)->Begin({});
  if (status.ok()) status = (*sink)->Write(0, std::as_bytes(std::span(bytes)));
  if (status.ok()) status = (*sink)->Finish();
  if (!status.ok()) (*sink)->Abandon(absl::InfiniteFuture());
  return status;
}

absl::StatusOr<std::string> ReadBack(const CudaDevice& device, const void* memory, std::int64_t size_bytes) {
  static MemcpyToHost* const memcpy_to_host = FindMemcpyToHost();
  if (memcpy_to_host == nullptr) return absl::InternalError("the driver has no cuMemcpyDtoH_v2");
  std::string bytes(static_cast<std::size_t>(size_bytes), '\0');
  if (bytes.empty()) return bytes;
  const auto context = cuda::PrimaryContext::Retain(device.ordinal());
  if (!context.ok()) return context.status();
  const cuda::ContextScope scope(**context);
  cuda::CUresult result = scope.result();
  if (result == cuda::CUDA_SUCCESS) {
    result = memcpy_to_host(bytes.data(), reinterpret_cast<cuda::CUdeviceptr>(memory), bytes.size());
  }
  const absl::Status status = (*context)->driver().ToStatus(result, "cannot read device memory back");
  if (!status.ok()) return status;
  return bytes;
}

}  // namespace tensorferry::test
