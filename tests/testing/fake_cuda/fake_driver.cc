// SPDX-License-Identifier: Apache-2.0
#include "tests/testing/fake_cuda/fake_driver.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <utility>

namespace tensorferry::test {
namespace {

constexpr std::int64_t kDeviceBytes = std::int64_t{8} << 30;
// The address space for all allocations until the program ends.
constexpr std::size_t kAddresses = std::size_t{256} << 30;
constexpr std::size_t kAlignment = 512;

}  // namespace

FakeCuda& FakeCuda::Get() { return FakeDriver::Instance(); }

FakeDriver& FakeDriver::Instance() {
  static FakeDriver driver;
  return driver;
}

FakeDriver::FakeDriver() : device_bytes(kDeviceBytes) {
  for (int i = 0; i < kDevices; ++i) devices[i].ordinal = i;
  if (const char* delay = std::getenv("FAKE_CUDA_MAX_DELAY_US"))
    max_delay_ = std::chrono::microseconds(std::atoi(delay));
  if (std::getenv("FAKE_CUDA_NO_DEVICE") != nullptr) {
    FailCall("cuInit", 0, cuda::CUDA_ERROR_NO_DEVICE, std::numeric_limits<int>::max());
  }
  void* const addresses = ::mmap(nullptr, kAddresses, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (addresses == MAP_FAILED) return;
  next_address_ = reinterpret_cast<cuda::CUdeviceptr>(addresses);
  end_of_addresses_ = next_address_ + kAddresses;
}

FakeDriver::~FakeDriver() {
  SetStuck(false);
  for (const std::shared_ptr<FakeStream>& stream : AllStreams()) stream->WaitUntilIdle();
  for (const std::string& violation : violations_) std::fprintf(stderr, "fake CUDA: %s\n", violation.c_str());
  const CudaHoldings left = holdings();
  if (left == CudaHoldings{}) return;
  std::fprintf(stderr, "fake CUDA: not released: %d contexts, %d streams, %d events, %d + %d allocations\n",
               left.contexts, left.streams, left.events, left.device_allocations, left.pinned_allocations);
}

void FakeDriver::Reset() {
  SetStuck(false);
  std::vector<std::shared_ptr<FakeStream>> done;
  const std::lock_guard lock(mutex);
  done.swap(retired_streams);
  calls_.clear();
  failing_function_.clear();
  copies_until_failure_ = -1;
  failed_ = false;
  violations_.clear();
  pageable_copies_ = 0;
  max_delay_ = {};
  device_bytes = kDeviceBytes;
}

void FakeDriver::FailCall(const std::string& function, int index, cuda::CUresult result, int times) {
  const std::lock_guard lock(mutex);
  failing_function_ = function;
  calls_until_failure_ = index;
  failures_left_ = times;
  failure_ = result;
  failed_ = false;
}

void FakeDriver::FailCopy(int index, cuda::CUresult result) {
  const std::lock_guard lock(mutex);
  copies_until_failure_ = index;
  failure_ = result;
  failed_ = false;
}

bool FakeDriver::failed() const {
  const std::lock_guard lock(mutex);
  return failed_;
}

void FakeDriver::SetMaxDelay(std::chrono::microseconds delay) {
  const std::lock_guard lock(mutex);
  max_delay_ = delay;
}

void FakeDriver::SetStuck(bool stuck) {
  {
    const std::lock_guard lock(mutex);
    stuck_ = stuck;
  }
  unstuck_.notify_all();
}

void FakeDriver::SetDeviceBytes(std::int64_t size_bytes) {
  const std::lock_guard lock(mutex);
  device_bytes = size_bytes;
}

std::map<std::string, int> FakeDriver::calls() const {
  const std::lock_guard lock(mutex);
  return calls_;
}

CudaHoldings FakeDriver::holdings() const {
  const std::lock_guard lock(mutex);
  CudaHoldings held{.streams = static_cast<int>(streams.size()),
                    .events = static_cast<int>(events.size()),
                    .device_allocations = static_cast<int>(allocations.size()),
                    .pinned_allocations = static_cast<int>(pinned.size())};
  for (const FakeDevice& device : devices) held.contexts += device.retained;
  return held;
}

std::vector<std::string> FakeDriver::violations() const {
  const std::lock_guard lock(mutex);
  return violations_;
}

int FakeDriver::pending_copies() const {
  const std::lock_guard lock(mutex);
  int sum = 0;
  for (const FakeDevice& device : devices) sum += device.lost == cuda::CUDA_SUCCESS ? device.pending_copies : 0;
  return sum;
}

int FakeDriver::pageable_copies() const {
  const std::lock_guard lock(mutex);
  return pageable_copies_;
}

std::int64_t FakeDriver::pinned_bytes() const {
  const std::lock_guard lock(mutex);
  std::int64_t sum = 0;
  for (const auto& [memory, size] : pinned) sum += static_cast<std::int64_t>(size);
  return sum;
}

cuda::CUresult FakeDriver::Enter(const char* function) {
  const std::lock_guard lock(mutex);
  ++calls_[function];
  const std::string_view name(function);
  if (!initialized && name != "cuInit" && !name.starts_with("cuGetError")) {
    return Violation(cuda::CUDA_ERROR_NOT_INITIALIZED, std::string(function) + " before cuInit");
  }
  if (failing_function_ != function || calls_until_failure_-- > 0 || failures_left_-- <= 0) return cuda::CUDA_SUCCESS;
  failed_ = true;
  return failure_;
}

cuda::CUresult FakeDriver::Violation(cuda::CUresult result, const std::string& what) {
  violations_.push_back(what);
  return result;
}

cuda::CUdeviceptr FakeDriver::TakeAddresses(std::size_t size) {
  const std::size_t taken = (size + kAlignment - 1) / kAlignment * kAlignment;
  if (taken > end_of_addresses_ - next_address_) return 0;
  return std::exchange(next_address_, next_address_ + taken);
}

const FakeAllocation* FakeDriver::FindAllocation(cuda::CUdeviceptr pointer, cuda::CUdeviceptr* start) const {
  auto after = allocations.upper_bound(pointer);
  if (after == allocations.begin()) return nullptr;
  const auto& [base, allocation] = *--after;
  if (pointer - base >= allocation.size) return nullptr;
  *start = base;
  return &allocation;
}

bool FakeDriver::IsPinned(const void* pointer, std::size_t size) const {
  const auto* const begin = static_cast<const std::byte*>(pointer);
  auto after = pinned.upper_bound(begin);
  if (after == pinned.begin()) return false;
  const auto& [base, base_size] = *--after;
  const auto skipped = static_cast<std::size_t>(begin - base);
  return skipped < base_size && size <= base_size - skipped;
}

cuda::CUresult FakeDriver::FindStream(cuda::CUstream stream, FakeDevice* current, std::shared_ptr<FakeStream>* found) {
  if (stream == nullptr || stream == cuda::LegacyStream()) {
    if (current->default_stream == nullptr) current->default_stream = MakeStream();
    *found = current->default_stream;
    return cuda::CUDA_SUCCESS;
  }
  const auto owned = streams.find(stream);
  if (owned == streams.end()) return Violation(cuda::CUDA_ERROR_INVALID_HANDLE, "an invalid stream");
  if (owned->second.device != current) return Violation(cuda::CUDA_ERROR_INVALID_HANDLE, "a stream of another context");
  *found = owned->second.stream;
  return cuda::CUDA_SUCCESS;
}

cuda::CUresult FakeDriver::Copy(const char* function, bool to_device, cuda::CUdeviceptr pointer, std::byte* host,
                                std::size_t size, cuda::CUstream stream) {
  const cuda::CUresult failure = Enter(function);
  const std::lock_guard lock(mutex);
  if (failure != cuda::CUDA_SUCCESS && random_() % 2 == 0) return failure;
  FakeDevice* device = nullptr;
  if (const cuda::CUresult result = CurrentDevice(function, &device); result != cuda::CUDA_SUCCESS) return result;
  cuda::CUdeviceptr start = 0;
  const FakeAllocation* const allocation = FindAllocation(pointer, &start);
  if (allocation == nullptr || size == 0 || size > allocation->size - (pointer - start)) {
    return Violation(cuda::CUDA_ERROR_INVALID_VALUE, "a copy outside of device memory");
  }
  if (allocation->device != device)
    return Violation(cuda::CUDA_ERROR_INVALID_VALUE, "a copy to another device's memory");
  if (to_device && !IsPinned(host, size)) ++pageable_copies_;
  std::shared_ptr<FakeStream> queue;
  if (const cuda::CUresult result = FindStream(stream, device, &queue); result != cuda::CUDA_SUCCESS) return result;
  std::byte* const view = allocation->memory + (pointer - start);
  const int counted = to_device ? 1 : 0;
  device->pending_copies += counted;
  queue->Add([=, this] {
    std::unique_lock work_lock(mutex);
    if (device->lost == cuda::CUDA_SUCCESS && copies_until_failure_-- == 0) {
      failed_ = true;
      device->lost = failure_;
    }
    if (device->lost == cuda::CUDA_SUCCESS) {
      work_lock.unlock();
      // Neither side is freed before the copy is done.
      std::memcpy(to_device ? view : host, to_device ? host : view, size);
      work_lock.lock();
    }
    device->pending_copies -= counted;
  });
  return failure;
}

std::shared_ptr<FakeStream> FakeDriver::MakeStream() {
  return std::make_shared<FakeStream>([this] { BeforeEach(); });
}

void FakeDriver::BeforeEach() {
  std::unique_lock lock(mutex);
  unstuck_.wait(lock, [this] { return !stuck_; });
  if (max_delay_.count() == 0) return;
  const std::chrono::microseconds delay{std::uniform_int_distribution<std::int64_t>(0, max_delay_.count())(random_)};
  lock.unlock();
  std::this_thread::sleep_for(delay);
}

std::vector<std::shared_ptr<FakeStream>> FakeDriver::AllStreams() {
  const std::lock_guard lock(mutex);
  std::vector<std::shared_ptr<FakeStream>> all = retired_streams;
  for (const auto& [handle, owned] : streams) all.push_back(owned.stream);
  for (const FakeDevice& device : devices) {
    if (device.default_stream != nullptr) all.push_back(device.default_stream);
  }
  return all;
}

void FakeDriver::WaitUntilIdle() {
  for (const std::shared_ptr<FakeStream>& stream : AllStreams()) stream->WaitUntilIdle();
}

}  // namespace tensorferry::test
