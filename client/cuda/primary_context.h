// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CUDA_PRIMARY_CONTEXT_H_
#define TENSORFERRY_CLIENT_CUDA_PRIMARY_CONTEXT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "client/cuda/driver.h"

namespace tensorferry::cuda {

// A reference to a device's primary context, which the CUDA runtime and PyTorch also use. Safe for concurrent use.
class PrimaryContext {
 public:
  // Retains the primary context of a device. Errors: those of LoadDriver; NOT_FOUND: there is no such device.
  static absl::StatusOr<std::unique_ptr<PrimaryContext>> Retain(int ordinal);
  PrimaryContext(const PrimaryContext&) = delete;
  PrimaryContext& operator=(const PrimaryContext&) = delete;
  ~PrimaryContext();

  const Driver& driver() const { return driver_; }
  CUcontext handle() const { return handle_; }
  int ordinal() const { return ordinal_; }
  // Returns the name of the device, for example "cuda:0".
  const std::string& name() const { return name_; }
  // Returns the driver's name for the device, for example "NVIDIA H200".
  const std::string& model_name() const { return model_name_; }

 private:
  PrimaryContext(const Driver& driver, int ordinal, CUdevice device, CUcontext handle, std::string model_name);

  const Driver& driver_;
  const int ordinal_;
  const CUdevice device_;
  const CUcontext handle_;
  const std::string name_;
  const std::string model_name_;
};

// Makes a context current to this thread. The destructor restores the previous one.
class ContextScope {
 public:
  explicit ContextScope(const PrimaryContext& context);
  ContextScope(const ContextScope&) = delete;
  ContextScope& operator=(const ContextScope&) = delete;
  ~ContextScope();

  // Returns CUDA_SUCCESS if the context is current. Otherwise, no function that needs a context may be called.
  CUresult result() const { return result_; }

 private:
  const Driver& driver_;
  CUcontext before_ = nullptr;
  bool changed_ = false;
  CUresult result_;
};

}  // namespace tensorferry::cuda

#endif  // TENSORFERRY_CLIENT_CUDA_PRIMARY_CONTEXT_H_
