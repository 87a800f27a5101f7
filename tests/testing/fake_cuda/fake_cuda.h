// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_TESTING_FAKE_CUDA_FAKE_CUDA_H_
#define TENSORFERRY_TESTS_TESTING_FAKE_CUDA_FAKE_CUDA_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "client/cuda/driver_api.h"

namespace tensorferry::test {

// The resources of the driver that a program holds.
struct CudaHoldings {
  int contexts = 0;  // retained
  int streams = 0;
  int events = 0;
  int device_allocations = 0;
  int pinned_allocations = 0;

  bool operator==(const CudaHoldings&) const = default;
};

// A driver (libcuda.so.1) for two devices in host memory, which a test can make slow, stuck or faulty. A thread for
// each stream copies late, and copies what the source holds then. The host cannot touch device memory. Allocations are
// adjacent, and no address is used twice. Misuse that a real driver refuses, or does not survive, is refused and
// recorded as a violation. At the end of the program, violations and resources that were not released are printed. Safe
// for concurrent use.
//
// Programs that are not tests use the environment: FAKE_CUDA_MAX_DELAY_US, as SetMaxDelay; FAKE_CUDA_NO_DEVICE: there
// is no device.
class FakeCuda {
 public:
  virtual ~FakeCuda() = default;

  // Returns the driver that loading libcuda.so.1 gives in this program.
  static FakeCuda& Get();

  // Resets faults, counts of calls and violations, and makes the devices fast and large again.
  virtual void Reset() = 0;

  // Makes the `index`th call of `function` from now on, counted from 0, fail with `result`, and those after it, `times`
  // in all. As in CUDA the error may be that of earlier work: a function that releases something still does, and a copy
  // may still run. An empty `function` ends this.
  virtual void FailCall(const std::string& function, int index, cuda::CUresult result, int times = 1) = 0;
  // Makes the `index`th copy fail on the device. Its context is lost then, and every call returns `result`.
  virtual void FailCopy(int index, cuda::CUresult result) = 0;
  // Returns true if the fault of either has happened.
  virtual bool failed() const = 0;

  // Makes every operation take a random time up to `delay`.
  virtual void SetMaxDelay(std::chrono::microseconds delay) = 0;
  // A stuck device does nothing at all.
  virtual void SetStuck(bool stuck) = 0;
  // Sets the memory of each device; default: 8 GiB.
  virtual void SetDeviceBytes(std::int64_t size_bytes) = 0;

  virtual std::map<std::string, int> calls() const = 0;
  virtual CudaHoldings holdings() const = 0;
  virtual std::vector<std::string> violations() const = 0;
  // The copies to devices that are submitted and not done. A lost device does none.
  virtual int pending_copies() const = 0;
  // The copies to a device from host memory that is not pinned: correct, but slow.
  virtual int pageable_copies() const = 0;
  virtual std::int64_t pinned_bytes() const = 0;
};

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_TESTING_FAKE_CUDA_FAKE_CUDA_H_
