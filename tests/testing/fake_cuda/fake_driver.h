// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_TESTING_FAKE_CUDA_FAKE_DRIVER_H_
#define TENSORFERRY_TESTS_TESTING_FAKE_CUDA_FAKE_DRIVER_H_

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <random>
#include <set>

#include "tests/testing/fake_cuda/fake_cuda.h"
#include "tests/testing/fake_cuda/fake_stream.h"

namespace tensorferry::test {

// A device and, while it is retained, its primary context.
struct FakeDevice {
  int ordinal = 0;
  int retained = 0;
  std::int64_t allocated_bytes = 0;
  int pending_copies = 0;  // to this device
  cuda::CUresult lost = cuda::CUDA_SUCCESS;
  std::shared_ptr<FakeStream> default_stream;
};

struct FakeAllocation {
  std::size_t size = 0;
  std::byte* memory = nullptr;  // a mapping that the driver can access
  FakeDevice* device = nullptr;
};

struct FakeEvent {
  int recorded = 0;
  int happened = 0;
};

struct OwnedStream {
  FakeDevice* device = nullptr;
  std::shared_ptr<FakeStream> stream;
};

// The state of the driver. Entry points hold its mutex, except while they wait.
class FakeDriver final : public FakeCuda {
 public:
  static constexpr int kDevices = 2;

  static FakeDriver& Instance();
  FakeDriver();
  ~FakeDriver() override;

  void Reset() override;
  void FailCall(const std::string& function, int index, cuda::CUresult result, int times) override;
  void FailCopy(int index, cuda::CUresult result) override;
  bool failed() const override;
  void SetMaxDelay(std::chrono::microseconds delay) override;
  void SetStuck(bool stuck) override;
  void SetDeviceBytes(std::int64_t size_bytes) override;
  std::map<std::string, int> calls() const override;
  CudaHoldings holdings() const override;
  std::vector<std::string> violations() const override;
  int pending_copies() const override;
  int pageable_copies() const override;
  std::int64_t pinned_bytes() const override;

  // Counts a call and returns the error that it must fail with. Every entry point calls this first. Locks the mutex.
  cuda::CUresult Enter(const char* function);
  // Records misuse. Requires the mutex.
  cuda::CUresult Violation(cuda::CUresult result, const std::string& what);
  // Finds the device whose context is current to this thread, if it is usable. Requires the mutex.
  cuda::CUresult CurrentDevice(const char* function, FakeDevice** device);
  // Reserves addresses that cannot be read or written; returns 0 if there are none left. Requires the mutex.
  cuda::CUdeviceptr TakeAddresses(std::size_t size);
  // Returns null if `pointer` is not device memory. Requires the mutex, as do the next two.
  const FakeAllocation* FindAllocation(cuda::CUdeviceptr pointer, cuda::CUdeviceptr* start) const;
  bool IsPinned(const void* pointer, std::size_t size) const;
  cuda::CUresult FindStream(cuda::CUstream stream, FakeDevice* current, std::shared_ptr<FakeStream>* found);
  // Queues a copy, as an entry point. Locks the mutex.
  cuda::CUresult Copy(const char* function, bool to_device, cuda::CUdeviceptr pointer, std::byte* host,
                      std::size_t size, cuda::CUstream stream);
  // Returns when no work is left. The mutex must not be held.
  void WaitUntilIdle();
  std::shared_ptr<FakeStream> MakeStream();

  mutable std::mutex mutex;  // guards all below
  FakeDevice devices[kDevices];
  std::map<cuda::CUdeviceptr, FakeAllocation> allocations;
  std::map<const std::byte*, std::size_t> pinned;
  std::map<cuda::CUstream, OwnedStream> streams;
  std::vector<std::shared_ptr<FakeStream>> retired_streams;  // destroyed; may still have work
  std::map<cuda::CUevent, std::shared_ptr<FakeEvent>> events;
  bool initialized = false;
  std::int64_t device_bytes = 0;

 private:
  void BeforeEach();
  std::vector<std::shared_ptr<FakeStream>> AllStreams();

  std::map<std::string, int> calls_;
  std::string failing_function_;
  int calls_until_failure_ = 0;
  int failures_left_ = 0;
  int copies_until_failure_ = -1;
  cuda::CUresult failure_ = cuda::CUDA_SUCCESS;
  bool failed_ = false;
  std::vector<std::string> violations_;
  int pageable_copies_ = 0;
  cuda::CUdeviceptr next_address_ = 0;
  cuda::CUdeviceptr end_of_addresses_ = 0;
  std::chrono::microseconds max_delay_{0};
  bool stuck_ = false;
  std::condition_variable unstuck_;
  std::minstd_rand random_{1};
};

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_TESTING_FAKE_CUDA_FAKE_DRIVER_H_
