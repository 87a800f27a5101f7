// SPDX-License-Identifier: Apache-2.0
#include "client/cuda/driver.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include "absl/base/thread_annotations.h"
#include "lib/sync/mutex.h"

namespace tensorferry::cuda {
namespace {

constexpr const char* kLibrary = "libcuda.so.1";

absl::Status Bind(void* library, const char* name, void** function) {
  *function = ::dlsym(library, name);
  if (*function != nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("the NVIDIA driver is too old: {} does not have {}", kLibrary, name));
}

absl::Status BindAll(Driver& driver) {
  // Never closed: the driver runs threads of its own.
  void* const library = ::dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return absl::FailedPreconditionError(fmt::format("no NVIDIA driver on this machine: {}", ::dlerror()));
  }
  absl::Status status;
#define TENSORFERRY_CUDA_BIND(name, ...) \
  if (status.ok()) status = Bind(library, #name, reinterpret_cast<void**>(&driver.name));
  TENSORFERRY_CUDA_FUNCTIONS(TENSORFERRY_CUDA_BIND)
#undef TENSORFERRY_CUDA_BIND
  return status;
}

}  // namespace

absl::Status Driver::ToStatus(CUresult result, std::string_view action) const {
  if (result == CUDA_SUCCESS) return absl::OkStatus();
  const char* name = nullptr;
  const char* text = nullptr;
  if (cuGetErrorName(result, &name) != CUDA_SUCCESS) name = nullptr;
  if (cuGetErrorString(result, &text) != CUDA_SUCCESS) text = nullptr;
  const auto code =
      result == CUDA_ERROR_OUT_OF_MEMORY ? absl::StatusCode::kResourceExhausted : absl::StatusCode::kInternal;
  return absl::Status(code, fmt::format("{}: {} ({})", action, name != nullptr ? name : "a CUDA error without a name",
                                        text != nullptr ? text : fmt::format("error {}", static_cast<int>(result))));
}

absl::StatusOr<const Driver*> LoadDriver() {
  static Mutex mutex;
  static Driver driver;
  static bool loaded ABSL_GUARDED_BY(mutex) = false;
  static bool initialized ABSL_GUARDED_BY(mutex) = false;
  const MutexLock lock(&mutex);
  if (!loaded) {
    if (absl::Status status = BindAll(driver); !status.ok()) return status;
    loaded = true;
  }
  if (!initialized) {
    const CUresult result = driver.cuInit(0);
    const absl::Status status = driver.ToStatus(result, "cannot start the NVIDIA driver");
    if (result == CUDA_ERROR_NO_DEVICE) return absl::NotFoundError(status.message());
    if (!status.ok()) return status;
    initialized = true;
  }
  return &driver;
}

}  // namespace tensorferry::cuda
