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
  int copies_under_way = 0;  // to it
  CUresult lost = CUDA_SUCCESS;
  std::shared_ptr<FakeStream> default_stream;
};

struct FakeAllocation {
  std::size_t size = 0;
  std::byte* memory = nullptr;  // where the host can get at it
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

// What the entry points work on. They hold its mutex, except while they wait.
class FakeDriver final : public FakeCuda {
 public:
  static constexpr int kDevices = 2;

  static FakeDriver& Instance();
  FakeDriver();
  ~FakeDriver() override;

  void Reset() override;
  void FailCall(const std::string& function, int index, CUresult result, int times) override;
  void FailCopy(int index, CUresult result) override;
  bool failed() const override;
  void SetMaxDelay(std::chrono::microseconds delay) override;
  void SetStuck(bool stuck) override;
  void SetDeviceBytes(std::int64_t size_bytes) override;
  std::map<std::string, int> calls() const override;
  CudaHoldings holdings() const override;
  std::vector<std::string> violations() const override;
  int copies_under_way() const override;
  int pageable_copies() const override;
  std::int64_t pinned_bytes() const override;

  // To be called by every entry point first: counts the call, and says how it shall fail. Takes the mutex.
  CUresult Enter(const char* function);
  // With the mutex held: remembers what no program should do.
  CUresult Violation(CUresult result, const std::string& what);
  // With the mutex held: the device whose context is current to this thread, if it is usable.
  CUresult CurrentDevice(const char* function, FakeDevice** device);
  // With the mutex held: addresses that nothing can be read from or written to. 0: there are no more.
  CUdeviceptr TakeAddresses(std::size_t size);
  // With the mutex held. Null: `pointer` is not device memory.
  const FakeAllocation* FindAllocation(CUdeviceptr pointer, CUdeviceptr* start) const;
  bool IsPinned(const void* pointer, std::size_t size) const;
  CUresult FindStream(CUstream stream, FakeDevice* current, std::shared_ptr<FakeStream>* found);
  // An entry point.
  CUresult Copy(const char* function, bool to_device, CUdeviceptr pointer, std::byte* host, std::size_t size,
                CUstream stream);
  // Returns when no work is left. Without the mutex held.
  void WaitUntilIdle();
  std::shared_ptr<FakeStream> MakeStream();

  mutable std::mutex mutex;  // guards what follows
  FakeDevice devices[kDevices];
  std::map<CUdeviceptr, FakeAllocation> allocations;
  std::map<const std::byte*, std::size_t> pinned;
  std::map<CUstream, OwnedStream> streams;
  std::vector<std::shared_ptr<FakeStream>> retired_streams;  // destroyed, but perhaps not done
  std::map<CUevent, std::shared_ptr<FakeEvent>> events;
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
  CUresult failure_ = CUDA_SUCCESS;
  bool failed_ = false;
  std::vector<std::string> violations_;
  int pageable_copies_ = 0;
  CUdeviceptr next_address_ = 0;
  CUdeviceptr end_of_addresses_ = 0;
  std::chrono::microseconds max_delay_{0};
  bool stuck_ = false;
  std::condition_variable unstuck_;
  std::minstd_rand random_{1};
};

}  // namespace tensorferry::test

#endif  // TENSORFERRY_TESTS_TESTING_FAKE_CUDA_FAKE_DRIVER_H_
