// SPDX-License-Identifier: Apache-2.0
#include "client/cuda/primary_context.h"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace tensorferry::cuda {

absl::StatusOr<std::unique_ptr<PrimaryContext>> PrimaryContext::Retain(int ordinal) {
  const absl::StatusOr<const Driver*> loaded = LoadDriver();
  if (!loaded.ok()) return loaded.status();
  const Driver& driver = **loaded;
  int count = 0;
  absl::Status status = driver.ToStatus(driver.cuDeviceGetCount(&count), "cannot count the devices");
  if (!status.ok()) return status;
  if (ordinal < 0 || ordinal >= count) {
    return absl::NotFoundError(fmt::format("no device cuda:{}: the number of devices is {}", ordinal, count));
  }
  CUdevice device{};
  CUcontext handle = nullptr;
  std::array<char, 256> model_name{};
  status = driver.ToStatus(driver.cuDeviceGet(&device, ordinal), fmt::format("cannot find cuda:{}", ordinal));
  if (status.ok()) {
    status = driver.ToStatus(driver.cuDeviceGetName(model_name.data(), static_cast<int>(model_name.size()), device),
                             fmt::format("cannot name cuda:{}", ordinal));
  }
  if (status.ok()) {
    status =
        driver.ToStatus(driver.cuDevicePrimaryCtxRetain(&handle, device), fmt::format("cannot use cuda:{}", ordinal));
  }
  if (!status.ok()) return status;
  return std::unique_ptr<PrimaryContext>(new PrimaryContext(driver, ordinal, device, handle, model_name.data()));
}

PrimaryContext::PrimaryContext(const Driver& driver, int ordinal, CUdevice device, CUcontext handle,
                               std::string model_name)
    : driver_(driver),
      ordinal_(ordinal),
      device_(device),
      handle_(handle),
      name_(fmt::format("cuda:{}", ordinal)),
      model_name_(std::move(model_name)) {}

PrimaryContext::~PrimaryContext() { driver_.cuDevicePrimaryCtxRelease_v2(device_); }

ContextScope::ContextScope(const PrimaryContext& context) : driver_(context.driver()) {
  result_ = driver_.cuCtxGetCurrent(&before_);
  if (result_ != CUDA_SUCCESS || before_ == context.handle()) return;
  result_ = driver_.cuCtxSetCurrent(context.handle());
  changed_ = true;
}

ContextScope::~ContextScope() {
  if (!changed_) return;
  // The driver may return an error of earlier work and do nothing. So there is a second attempt.
  if (driver_.cuCtxSetCurrent(before_) != CUDA_SUCCESS) driver_.cuCtxSetCurrent(before_);
}

}  // namespace tensorferry::cuda
