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

// The numbers of the driver's resources that a program holds.
struct CudaHoldings {
  int contexts = 0;  // retained
  int streams = 0;
  int events = 0;
  int device_allocations = 0;
  int pinned_allocations = 0;

  bool operator==(const CudaHoldings&) const = default;
};

// A driver (libcuda.so.1) for two devices in host memory. A test can make it slow, stuck or faulty.
// - One thread per stream copies late, and copies the bytes that the source holds at that time.
// - The host cannot access device memory. Allocations are adjacent, and no address is used twice.
// - It refuses misuse that a real driver refuses or crashes on, and records it as a violation.
// - At the end of the program, it prints violations and resources that were not released.
// Safe for concurrent use.
//
// Programs that are not tests use the environment. FAKE_CUDA_MAX_DELAY_US: as SetMaxDelay. FAKE_CUDA_NO_DEVICE: there
// is no device.
//
// Like a real driver, the library links neither Abseil nor anything else of ours, so its locks are std::mutex.
class FakeCuda {
 public:
  virtual ~FakeCuda() = default;

  // Returns the driver that loading libcuda.so.1 gives in this program.
  static FakeCuda& Get();

  // Resets faults, counts of calls and violations, and makes the devices fast and large again.
  virtual void Reset() = 0;

  // Makes `times` calls of `function` fail with `result`, beginning with the `index`th from now on, counted from 0. As
  // in CUDA, the error may be that of earlier work: a function that releases something still does, and a copy may still
  // run. An empty `function` ends this.
  virtual void FailCall(const std::string& function, int index, cuda::CUresult result, int times = 1) = 0;
  // Makes the `index`th copy fail on the device. After that its context is lost, and every call returns `result`.
  virtual void FailCopy(int index, cuda::CUresult result) = 0;
  // Returns true if the fault of FailCall or FailCopy has happened.
  virtual bool failed() const = 0;

  // Makes every operation take a random time up to `delay`.
  virtual void SetMaxDelay(std::chrono::microseconds delay) = 0;
  // Makes the devices stuck, so that they do nothing.
  virtual void SetStuck(bool stuck) = 0;
  // Sets the memory of each device; default: 8 GiB.
  virtual void SetDeviceBytes(std::int64_t size_bytes) = 0;

  virtual std::map<std::string, int> calls() const = 0;
  virtual CudaHoldings holdings() const = 0;
  virtual std::vector<std::string> violations() const = 0;
  // Returns the number of copies to devices that are submitted and not done. A lost device does none.
  virtual int pending_copies() const = 0;
  // Returns the number of copies to devices from host memory that is not pinned: correct, but slow.
  virtual int pageable_copies() const = 0;
  virtual std::int64_t pinned_bytes() const = 0;
};

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_TESTING_FAKE_CUDA_FAKE_CUDA_H_
