// SPDX-License-Identifier: Apache-2.0
// The functions of cuda.h, over a FakeDriver.
#include <sys/mman.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "tests/testing/fake_cuda/fake_driver.h"

namespace tensorferry::test {
namespace {

thread_local CUcontext current_context = nullptr;

FakeDriver& Driver() { return FakeDriver::Instance(); }

CUcontext ContextOf(FakeDevice& device) { return reinterpret_cast<CUcontext>(&device); }

void* Map(std::size_t size, int protection, int flags) {
  void* const memory = ::mmap(nullptr, size, protection, flags | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

}  // namespace

CUresult FakeDriver::CurrentDevice(const char* function, FakeDevice** device) {
  for (FakeDevice& each : devices) {
    if (ContextOf(each) != current_context) continue;
    if (each.retained == 0) return Violation(CUDA_ERROR_CONTEXT_IS_DESTROYED, std::string(function) + " in no context");
    *device = &each;
    return each.lost;
  }
  return Violation(CUDA_ERROR_INVALID_CONTEXT, std::string(function) + " without a context");
}

}  // namespace tensorferry::test

using tensorferry::test::ContextOf;
using tensorferry::test::current_context;
using tensorferry::test::Driver;
using tensorferry::test::FakeAllocation;
using tensorferry::test::FakeDevice;
using tensorferry::test::FakeDriver;
using tensorferry::test::FakeEvent;
using tensorferry::test::FakeStream;
using tensorferry::test::Map;

// An entry point's beginning: it is counted, and may have to fail.
#define FAKE_ENTER(function) \
  if (const CUresult failure = Driver().Enter(#function); failure != CUDA_SUCCESS) return failure
// The same with the lock, in a context that works.
#define FAKE_ENTER_CONTEXT(function)          \
  FAKE_ENTER(function);                       \
  const std::lock_guard lock(Driver().mutex); \
  FakeDevice* device = nullptr;               \
  if (const CUresult result = Driver().CurrentDevice(#function, &device); result != CUDA_SUCCESS) return result

extern "C" {

CUresult CUDAAPI cuInit(unsigned) {
  FAKE_ENTER(cuInit);
  const std::lock_guard lock(Driver().mutex);
  Driver().initialized = true;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuGetErrorName(CUresult error, const char** text) {
  FAKE_ENTER(cuGetErrorName);
  static thread_local char name[32];
  std::snprintf(name, sizeof(name), "FAKE_ERROR_%d", static_cast<int>(error));
  *text = name;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuGetErrorString(CUresult, const char** text) {
  FAKE_ENTER(cuGetErrorString);
  *text = "as the fake driver was told";
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceGetCount(int* count) {
  FAKE_ENTER(cuDeviceGetCount);
  *count = FakeDriver::kDevices;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceGet(CUdevice* device, int ordinal) {
  FAKE_ENTER(cuDeviceGet);
  if (ordinal < 0 || ordinal >= FakeDriver::kDevices) return CUDA_ERROR_INVALID_DEVICE;
  *device = ordinal;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDeviceGetName(char* name, int size, CUdevice device) {
  FAKE_ENTER(cuDeviceGetName);
  std::snprintf(name, static_cast<std::size_t>(size), "Fake GPU %d", device);
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice device) {
  FAKE_ENTER(cuDevicePrimaryCtxRetain);
  const std::lock_guard lock(Driver().mutex);
  ++Driver().devices[device].retained;
  *context = ContextOf(Driver().devices[device]);
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuDevicePrimaryCtxRelease(CUdevice device) {
  const CUresult failure = Driver().Enter("cuDevicePrimaryCtxRelease");
  FakeDevice& released = Driver().devices[device];
  const std::lock_guard lock(Driver().mutex);
  if (released.retained == 0)
    return Driver().Violation(CUDA_ERROR_INVALID_CONTEXT, "a context released once too often");
  if (--released.retained > 0) return failure;
  released.lost = CUDA_SUCCESS;
  if (released.default_stream != nullptr) Driver().retired_streams.push_back(std::move(released.default_stream));
  released.default_stream = nullptr;
  return failure;
}

CUresult CUDAAPI cuCtxGetCurrent(CUcontext* context) {
  FAKE_ENTER(cuCtxGetCurrent);
  *context = current_context;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuCtxSetCurrent(CUcontext context) {
  FAKE_ENTER(cuCtxSetCurrent);
  current_context = context;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemGetInfo(std::size_t* free, std::size_t* total) {
  FAKE_ENTER_CONTEXT(cuMemGetInfo);
  *free = static_cast<std::size_t>(Driver().device_bytes - device->allocated_bytes);
  *total = static_cast<std::size_t>(Driver().device_bytes);
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemAlloc(CUdeviceptr* pointer, std::size_t size) {
  FAKE_ENTER_CONTEXT(cuMemAlloc);
  if (size == 0) return Driver().Violation(CUDA_ERROR_INVALID_VALUE, "an allocation of nothing");
  if (static_cast<std::int64_t>(size) > Driver().device_bytes - device->allocated_bytes)
    return CUDA_ERROR_OUT_OF_MEMORY;
  // It counts as shared memory: not as the program's own.
  void* const memory = Map(size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE);
  *pointer = memory != nullptr ? Driver().TakeAddresses(size) : 0;
  if (*pointer == 0) return CUDA_ERROR_OUT_OF_MEMORY;
  device->allocated_bytes += static_cast<std::int64_t>(size);
  Driver().allocations[*pointer] = {size, static_cast<std::byte*>(memory), device};
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemFree(CUdeviceptr pointer) {
  const CUresult failure = Driver().Enter("cuMemFree");
  Driver().WaitUntilIdle();
  const std::lock_guard lock(Driver().mutex);
  const auto found = Driver().allocations.find(pointer);
  if (found == Driver().allocations.end()) return Driver().Violation(CUDA_ERROR_INVALID_VALUE, "a wrong cuMemFree");
  const FakeAllocation freed = found->second;
  Driver().allocations.erase(found);
  freed.device->allocated_bytes -= static_cast<std::int64_t>(freed.size);
  ::munmap(freed.memory, freed.size);
  return failure;
}

CUresult CUDAAPI cuMemHostAlloc(void** pointer, std::size_t size, unsigned) {
  FAKE_ENTER_CONTEXT(cuMemHostAlloc);
  *pointer = Map(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_POPULATE);
  if (*pointer == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  Driver().pinned[static_cast<std::byte*>(*pointer)] = size;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuMemFreeHost(void* pointer) {
  const CUresult failure = Driver().Enter("cuMemFreeHost");
  Driver().WaitUntilIdle();
  const std::lock_guard lock(Driver().mutex);
  const auto found = Driver().pinned.find(static_cast<std::byte*>(pointer));
  if (found == Driver().pinned.end()) return Driver().Violation(CUDA_ERROR_INVALID_VALUE, "a wrong cuMemFreeHost");
  ::munmap(pointer, found->second);
  Driver().pinned.erase(found);
  return failure;
}

CUresult CUDAAPI cuMemcpyHtoDAsync(CUdeviceptr to, const void* from, std::size_t size, CUstream stream) {
  auto* const host = const_cast<std::byte*>(static_cast<const std::byte*>(from));
  return Driver().Copy("cuMemcpyHtoDAsync", true, to, host, size, stream);
}

CUresult CUDAAPI cuMemcpyDtoHAsync(void* to, CUdeviceptr from, std::size_t size, CUstream stream) {
  return Driver().Copy("cuMemcpyDtoHAsync", false, from, static_cast<std::byte*>(to), size, stream);
}

CUresult CUDAAPI cuStreamCreate(CUstream* stream, unsigned) {
  FAKE_ENTER_CONTEXT(cuStreamCreate);
  const std::shared_ptr<FakeStream> made = Driver().MakeStream();
  *stream = reinterpret_cast<CUstream>(made.get());
  Driver().streams[*stream] = {device, made};
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuStreamDestroy(CUstream stream) {
  const CUresult failure = Driver().Enter("cuStreamDestroy");
  const std::lock_guard lock(Driver().mutex);
  const auto found = Driver().streams.find(stream);
  if (found == Driver().streams.end()) return Driver().Violation(CUDA_ERROR_INVALID_HANDLE, "a wrong cuStreamDestroy");
  Driver().retired_streams.push_back(std::move(found->second.stream));
  Driver().streams.erase(found);
  return failure;
}

CUresult CUDAAPI cuStreamGetCtx(CUstream stream, CUcontext* context) {
  FAKE_ENTER(cuStreamGetCtx);
  const std::lock_guard lock(Driver().mutex);
  const auto found = Driver().streams.find(stream);
  if (found == Driver().streams.end()) return CUDA_ERROR_INVALID_HANDLE;
  *context = ContextOf(*found->second.device);
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuStreamQuery(CUstream stream) {
  FAKE_ENTER_CONTEXT(cuStreamQuery);
  std::shared_ptr<FakeStream> queue;
  if (const CUresult result = Driver().FindStream(stream, device, &queue); result != CUDA_SUCCESS) return result;
  return queue->idle() ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

CUresult CUDAAPI cuEventCreate(CUevent* event, unsigned) {
  FAKE_ENTER_CONTEXT(cuEventCreate);
  const auto made = std::make_shared<FakeEvent>();
  *event = reinterpret_cast<CUevent>(made.get());
  Driver().events[*event] = made;
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuEventDestroy(CUevent event) {
  const CUresult failure = Driver().Enter("cuEventDestroy");
  const std::lock_guard lock(Driver().mutex);
  if (Driver().events.erase(event) == 1) return failure;
  return Driver().Violation(CUDA_ERROR_INVALID_HANDLE, "a wrong cuEventDestroy");
}

CUresult CUDAAPI cuEventRecord(CUevent event, CUstream stream) {
  FAKE_ENTER_CONTEXT(cuEventRecord);
  const auto found = Driver().events.find(event);
  if (found == Driver().events.end()) return Driver().Violation(CUDA_ERROR_INVALID_HANDLE, "a wrong cuEventRecord");
  std::shared_ptr<FakeStream> queue;
  if (const CUresult result = Driver().FindStream(stream, device, &queue); result != CUDA_SUCCESS) return result;
  const std::shared_ptr<FakeEvent> recorded = found->second;
  ++recorded->recorded;
  queue->Add([recorded] {
    const std::lock_guard work_lock(Driver().mutex);
    ++recorded->happened;
  });
  return CUDA_SUCCESS;
}

CUresult CUDAAPI cuEventQuery(CUevent event) {
  FAKE_ENTER_CONTEXT(cuEventQuery);
  const auto found = Driver().events.find(event);
  if (found == Driver().events.end()) return Driver().Violation(CUDA_ERROR_INVALID_HANDLE, "a wrong cuEventQuery");
  return found->second->happened == found->second->recorded ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}

CUresult CUDAAPI cuPointerGetAttributes(unsigned count, CUpointer_attribute* attributes, void** values,
                                        CUdeviceptr pointer) {
  FAKE_ENTER(cuPointerGetAttributes);
  const std::lock_guard lock(Driver().mutex);
  CUdeviceptr start = 0;
  const FakeAllocation* const found = Driver().FindAllocation(pointer, &start);
  const bool pinned = Driver().IsPinned(reinterpret_cast<void*>(pointer), 1);
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
