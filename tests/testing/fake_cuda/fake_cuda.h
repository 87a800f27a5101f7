// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_TESTING_FAKE_CUDA_FAKE_CUDA_H_
#define TENSORFERRY_TESTS_TESTING_FAKE_CUDA_FAKE_CUDA_H_

#include <cuda.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace tensorferry::test {

// What a program holds of a device.
struct CudaHoldings {
  int contexts = 0;  // retained
  int streams = 0;
  int events = 0;
  int device_allocations = 0;
  int pinned_allocations = 0;

  bool operator==(const CudaHoldings&) const = default;
};

// A driver (libcuda.so.1) for two devices in host memory, which a test can make slow, stuck or faulty. Copies are done
// late: by a thread for each stream, when it gets to them, from what the source holds then. Device memory cannot be
// touched by the host; allocations lie side by side, and no address is given twice. What a real driver would refuse, or
// suffer from, is refused and remembered as a violation; what is left of those, and of what was not given back, is
// printed when the program ends. Safe for concurrent use.
//
// Programs that are no test are told by the environment: FAKE_CUDA_MAX_DELAY_US, as SetMaxDelay; FAKE_CUDA_NO_DEVICE:
// there is none.
class FakeCuda {
 public:
  virtual ~FakeCuda() = default;

  // The one that whoever loads libcuda.so.1 gets in this program.
  static FakeCuda& Get();

  // Forgets faults, counts of calls and violations, and makes the devices fast and large again.
  virtual void Reset() = 0;

  // The `index`th call of `function` from now on, counted from 0, fails with `result`, and so do the next, `times` in
  // all. A function that gives something back does that all the same, and a copy may, as CUDA's do: their errors are
  // those of work before. Empty: none does.
  virtual void FailCall(const std::string& function, int index, CUresult result, int times = 1) = 0;
  // The same of the `index`th copy when it is done: its context is lost then, and says so to every call.
  virtual void FailCopy(int index, CUresult result) = 0;
  // Whether the fault of either of them has happened.
  virtual bool failed() const = 0;

  // Every operation takes a random time up to this.
  virtual void SetMaxDelay(std::chrono::microseconds delay) = 0;
  // A stuck device does nothing at all.
  virtual void SetStuck(bool stuck) = 0;
  // What each device has; default: 8 GiB.
  virtual void SetDeviceBytes(std::int64_t size_bytes) = 0;

  virtual std::map<std::string, int> calls() const = 0;
  virtual CudaHoldings holdings() const = 0;
  virtual std::vector<std::string> violations() const = 0;
  // Copies to devices that were asked for and are still to be done. A device that is lost does none.
  virtual int copies_under_way() const = 0;
  // Copies from and to host memory that is not pinned: right, but slow.
  virtual int pageable_copies() const = 0;
  virtual std::int64_t pinned_bytes() const = 0;
};

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_TESTING_FAKE_CUDA_FAKE_CUDA_H_
