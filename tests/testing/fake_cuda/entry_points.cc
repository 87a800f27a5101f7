// SPDX-License-Identifier: Apache-2.0
// The exported functions of the driver, over a FakeDriver.
#include <sys/mman.h>

#include <cstdio>
#include <cstring>
#include <string>
#include <type_traits>

#include "tests/testing/fake_cuda/fake_driver.h"

namespace tensorferry::test {
namespace {

thread_local cuda::CUcontext current_context = nullptr;

FakeDriver& Fake() { return FakeDriver::Instance(); }

cuda::CUcontext ContextOf(FakeDevice& device) { return reinterpret_cast<cuda::CUcontext>(&device); }

void* Map(std::size_t size, int protection, int flags) {
  void* const memory = ::mmap(nullptr, size, protection, flags | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

}  // namespace

cuda::CUresult FakeDriver::CurrentDevice(const char* function, FakeDevice** device) {
  for (FakeDevice& each : devices) {
    if (ContextOf(each) != current_context) continue;
    if (each.retained == 0)
      return Violation(cuda::CUDA_ERROR_CONTEXT_IS_DESTROYED, std::string(function) + " in no context");
    *device = &each;
    return each.lost;
  }
  return Violation(cuda::CUDA_ERROR_INVALID_CONTEXT, std::string(function) + " without a context");
}

}  // namespace tensorferry::test

// Begins an entry point: counts the call, and returns its injected error.
#define FAKE_ENTER() \
  if (const CUresult failure = Fake().Enter(__func__); failure != CUDA_SUCCESS) return failure
// Does the same, and then locks the mutex and finds the current device.
#define FAKE_ENTER_CONTEXT()                \
  FAKE_ENTER();                             \
  const std::lock_guard lock(Fake().mutex); \
  FakeDevice* device = nullptr;             \
  if (const CUresult result = Fake().CurrentDevice(__func__, &device); result != CUDA_SUCCESS) return result

namespace tensorferry::cuda {

using test::ContextOf;
using test::current_context;
using test::Fake;
using test::FakeAllocation;
using test::FakeDevice;
using test::FakeDriver;
using test::FakeEvent;
using test::FakeStream;
using test::Map;

extern "C" {

CUresult cuInit(unsigned) {
  FAKE_ENTER();
  const std::lock_guard lock(Fake().mutex);
  Fake().initialized = true;
  return CUDA_SUCCESS;
}

CUresult cuGetErrorName(CUresult error, const char** text) {
  FAKE_ENTER();
  static thread_local char name[32];
  std::snprintf(name, sizeof(name), "FAKE_ERROR_%d", static_cast<int>(error));
  *text = name;
  return CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult, const char** text) {
  FAKE_ENTER();
  *text = "as the fake driver was told";
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int* count) {
  FAKE_ENTER();
  *count = FakeDriver::kDevices;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  FAKE_ENTER();
  if (ordinal < 0 || ordinal >= FakeDriver::kDevices) return CUDA_ERROR_INVALID_DEVICE;
  *device = ordinal;
  return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char* name, int size, CUdevice device) {
  FAKE_ENTER();
  std::snprintf(name, static_cast<std::size_t>(size), "Fake GPU %d", device);
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  FAKE_ENTER();
  const std::lock_guard lock(Fake().mutex);
  ++Fake().devices[device].retained;
  *context = ContextOf(Fake().devices[device]);
  return CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  const CUresult failure = Fake().Enter(__func__);
  FakeDevice& released = Fake().devices[device];
  const std::lock_guard lock(Fake().mutex);
  if (released.retained == 0) return Fake().Violation(CUDA_ERROR_INVALID_CONTEXT, "a context released once too often");
  if (--released.retained > 0) return failure;
  released.lost = CUDA_SUCCESS;
  if (released.default_stream != nullptr) Fake().retired_streams.push_back(std::move(released.default_stream));
  released.default_stream = nullptr;
  return failure;
}

CUresult cuCtxGetCurrent(CUcontext* context) {
  FAKE_ENTER();
  *context = current_context;
  return CUDA_SUCCESS;
}

CUresult cuCtxSetCurrent(CUcontext context) {
  FAKE_ENTER();
  current_context = context;
  return CUDA_SUCCESS;
}

CUresult cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
  FAKE_ENTER_CONTEXT();
  *free = static_cast<std::size_t>(Fake().device_bytes - device->allocated_bytes);
  *total = static_cast<std::size_t>(Fake().device_bytes);
  return CUDA_SUCCESS;
}

CUresult cuMemAlloc_v2(CUdeviceptr* pointer, std::size_t size) {
  FAKE_ENTER_CONTEXT();
  if (size == 0) return Fake().Violation(CUDA_ERROR_INVALID_VALUE, "an allocation of nothing");
  if (static_cast<std::int64_t>(size) > Fake().device_bytes - device->allocated_bytes) return CUDA_ERROR_OUT_OF_MEMORY;
  // It counts as shared memory: not as the program's own.
  void* const memory = Map(size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE);
  *pointer = memory != nullptr ? Fake().TakeAddresses(size) : 0;
  if (*pointer == 0) return CUDA_ERROR_OUT_OF_MEMORY;
  device->allocated_bytes += static_cast<std::int64_t>(size);
  Fake().allocations[*pointer] = {size, static_cast<std::byte*>(memory), device};
  return CUDA_SUCCESS;
}

CUresult cuMemFree_v2(CUdeviceptr pointer) {
  const CUresult failure = Fake().Enter(__func__);
  Fake().WaitUntilIdle();
  const std::lock_guard lock(Fake().mutex);
  const auto found = Fake().allocations.find(pointer);
  if (found == Fake().allocations.end()) return Fake().Violation(CUDA_ERROR_INVALID_VALUE, "a wrong cuMemFree_v2");
  const FakeAllocation freed = found->second;
  Fake().allocations.erase(found);
  freed.device->allocated_bytes -= static_cast<std::int64_t>(freed.size);
  ::munmap(freed.memory, freed.size);
  return failure;
}

CUresult cuMemHostAlloc(void** pointer, std::size_t size, unsigned) {
  FAKE_ENTER_CONTEXT();
  *pointer = Map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_POPULATE);
  if (*pointer == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  Fake().pinned[static_cast<std::byte*>(*pointer)] = size;
  return CUDA_SUCCESS;
}

CUresult cuMemFreeHost(void* pointer) {
  const CUresult failure = Fake().Enter(__func__);
  Fake().WaitUntilIdle();
  const std::lock_guard lock(Fake().mutex);
  const auto found = Fake().pinned.find(static_cast<std::byte*>(pointer));
  if (found == Fake().pinned.end()) return Fake().Violation(CUDA_ERROR_INVALID_VALUE, "a wrong cuMemFreeHost");
  ::munmap(pointer, found->second);
  Fake().pinned.erase(found);
  return failure;
}

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, std::size_t size, CUstream stream) {
  auto* const host = const_cast<std::byte*>(static_cast<const std::byte*>(from));
  return Fake().Copy("cuMemcpyHtoDAsync_v2", true, to, host, size, stream);
}

// Called by tests only, which read back what the product has written.
CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, std::size_t size) {
  const CUresult result = Fake().Copy(__func__, false, from, static_cast<std::byte*>(to), size, nullptr);
  FakeDevice* device = nullptr;
  std::shared_ptr<FakeStream> queue;
  {
    const std::lock_guard lock(Fake().mutex);
    Fake().CurrentDevice(__func__, &device);
    if (device != nullptr) Fake().FindStream(nullptr, device, &queue);
  }
  if (queue != nullptr) queue->WaitUntilIdle();
  const std::lock_guard lock(Fake().mutex);
  return result == CUDA_SUCCESS && device != nullptr ? device->lost : result;
}

CUresult cuStreamCreate(CUstream* stream, unsigned) {
  FAKE_ENTER_CONTEXT();
  const std::shared_ptr<FakeStream> made = Fake().MakeStream();
  *stream = reinterpret_cast<CUstream>(made.get());
  Fake().streams[*stream] = {device, made};
  return CUDA_SUCCESS;
}

CUresult cuStreamDestroy_v2(CUstream stream) {
  const CUresult failure = Fake().Enter(__func__);
  const std::lock_guard lock(Fake().mutex);
  const auto found = Fake().streams.find(stream);
  if (found == Fake().streams.end()) return Fake().Violation(CUDA_ERROR_INVALID_HANDLE, "a wrong cuStreamDestroy_v2");
  Fake().retired_streams.push_back(std::move(found->second.stream));
  Fake().streams.erase(found);
  return failure;
}

CUresult cuStreamGetCtx(CUstream stream, CUcontext* context) {
  FAKE_ENTER();
  const std::lock_guard lock(Fake().mutex);
  const auto found = Fake().streams.find(stream);
  if (found == Fake().streams.end()) return CUDA_ERROR_INVALID_HANDLE;
  *context = ContextOf(*found->second.device);
  return CUDA_SUCCESS;
}

CUresult cuStreamQuery(CUstream stream) {
  FAKE_ENTER_CONTEXT();
  std::shared_ptr<FakeStream> queue;
  if (const CUresult result = Fake().FindStream(stream, device, &queue); result != CUDA_SUCCESS) return result;
  return queue->idle() ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

CUresult cuEventCreate(CUevent* event, unsigned) {
  FAKE_ENTER_CONTEXT();
  const auto made = std::make_shared<FakeEvent>();
  *event = reinterpret_cast<CUevent>(made.get());
  Fake().events[*event] = made;
  return CUDA_SUCCESS;
}

CUresult cuEventDestroy_v2(CUevent event) {
  const CUresult failure = Fake().Enter(__func__);
  const std::lock_guard lock(Fake().mutex);
  if (Fake().events.erase(event) == 1) return failure;
  return Fake().Violation(CUDA_ERROR_INVALID_HANDLE, "a wrong cuEventDestroy_v2");
}

CUresult cuEventRecord(CUevent event, CUstream stream) {
  FAKE_ENTER_CONTEXT();
  const auto found = Fake().events.find(event);
  if (found == Fake().events.end()) return Fake().Violation(CUDA_ERROR_INVALID_HANDLE, "a wrong cuEventRecord");
  std::shared_ptr<FakeStream> queue;
  if (const CUresult result = Fake().FindStream(stream, device, &queue); result != CUDA_SUCCESS) return result;
  const std::shared_ptr<FakeEvent> recorded = found->second;
  ++recorded->recorded;
  queue->Add([recorded] {
    const std::lock_guard work_lock(Fake().mutex);
    ++recorded->happened;
  });
  return CUDA_SUCCESS;
}

CUresult cuEventQuery(CUevent event) {
  FAKE_ENTER_CONTEXT();
  const auto found = Fake().events.find(event);
  if (found == Fake().events.end()) return Fake().Violation(CUDA_ERROR_INVALID_HANDLE, "a wrong cuEventQuery");
  return found->second->happened == found->second->recorded ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

CUresult cuPointerGetAttributes(unsigned count, CUpointer_attribute* attributes, void** values, CUdeviceptr pointer) {
  FAKE_ENTER();
  const std::lock_guard lock(Fake().mutex);
  CUdeviceptr start = 0;
  const FakeAllocation* const found = Fake().FindAllocation(pointer, &start);
  const bool pinned = Fake().IsPinned(reinterpret_cast<void*>(pointer), 1);
  for (unsigned i = 0; i < count; ++i) {
    switch (attributes[i]) {
      case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        *static_cast<unsigned*>(values[i]) = static_cast<unsigned>(pinned) * CU_MEMORYTYPE_HOST;
        if (found != nullptr) *static_cast<unsigned*>(values[i]) = CU_MEMORYTYPE_DEVICE;
        break;
      case CU_POINTER_ATTRIBUTE_IS_MANAGED:
        *static_cast<unsigned*>(values[i]) = 0;
        break;
      case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
        *static_cast<int*>(values[i]) = found != nullptr ? found->device->ordinal : -1;
        break;
      case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
        *static_cast<CUdeviceptr*>(values[i]) = start;
        break;
      case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
        *static_cast<std::size_t*>(values[i]) = found != nullptr ? found->size : 0;
        break;
      default:
        return CUDA_ERROR_INVALID_VALUE;
    }
  }
  return CUDA_SUCCESS;
}

}  // extern "C"

#define FAKE_CHECK(name, ...) \
  static_assert(std::is_same_v<decltype(name), CUresult(__VA_ARGS__)>, #name " differs from driver_api.h");
TENSORFERRY_CUDA_FUNCTIONS(FAKE_CHECK)
#undef FAKE_CHECK

}  // namespace tensorferry::cuda
