// SPDX-License-Identifier: Apache-2.0
//
// Our own declarations of the part of the CUDA driver API that we use, so that a build needs no CUDA toolkit. The ABI
// of the driver (libcuda.so.1) is stable: an exported function never changes, a new version of it gets a new name
// (cuMemAlloc_v2). tests/client/cuda/driver_api_test.cc compares the declarations with cuda.h where there is one.
#ifndef TENSORFERRY_CLIENT_CUDA_DRIVER_API_H_
#define TENSORFERRY_CLIENT_CUDA_DRIVER_API_H_

#include <cstddef>
#include <cstdint>

namespace tensorferry::cuda {

// Types and values have the driver's own names, so that its documentation applies.

struct CUctx_st;
struct CUevent_st;
struct CUstream_st;

using CUcontext = CUctx_st*;
using CUdevice = int;
using CUdeviceptr = unsigned long long;
using CUevent = CUevent_st*;
using CUstream = CUstream_st*;

// The results that we handle or produce. A driver returns others, too.
enum CUresult : unsigned {
  CUDA_SUCCESS = 0,
  CUDA_ERROR_INVALID_VALUE = 1,
  CUDA_ERROR_OUT_OF_MEMORY = 2,
  CUDA_ERROR_NOT_INITIALIZED = 3,
  CUDA_ERROR_NO_DEVICE = 100,
  CUDA_ERROR_INVALID_DEVICE = 101,
  CUDA_ERROR_INVALID_CONTEXT = 201,
  CUDA_ERROR_INVALID_HANDLE = 400,
  CUDA_ERROR_NOT_READY = 600,
  CUDA_ERROR_ILLEGAL_ADDRESS = 700,
  CUDA_ERROR_CONTEXT_IS_DESTROYED = 709,
  CUDA_ERROR_UNKNOWN = 999,
};

enum CUevent_flags : unsigned { CU_EVENT_DISABLE_TIMING = 2 };
enum CUmemorytype : unsigned { CU_MEMORYTYPE_HOST = 1, CU_MEMORYTYPE_DEVICE = 2 };
enum CUstream_flags : unsigned { CU_STREAM_NON_BLOCKING = 1 };

enum CUpointer_attribute : unsigned {
  CU_POINTER_ATTRIBUTE_MEMORY_TYPE = 2,
  CU_POINTER_ATTRIBUTE_IS_MANAGED = 8,
  CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL = 9,
  CU_POINTER_ATTRIBUTE_RANGE_START_ADDR = 11,
  CU_POINTER_ATTRIBUTE_RANGE_SIZE = 12,
};

// The handles of the two default streams: CU_STREAM_LEGACY and CU_STREAM_PER_THREAD, which are macros in cuda.h.
inline CUstream LegacyStream() { return reinterpret_cast<CUstream>(std::uintptr_t{1}); }
inline CUstream PerThreadStream() { return reinterpret_cast<CUstream>(std::uintptr_t{2}); }

}  // namespace tensorferry::cuda

// Calls X(name, parameters...) for each function. Names are those of the exported symbols; all return a CUresult.
#define TENSORFERRY_CUDA_FUNCTIONS(X)                                                                           \
  X(cuCtxGetCurrent, CUcontext* context)                                                                        \
  X(cuCtxSetCurrent, CUcontext context)                                                                         \
  X(cuDeviceGet, CUdevice* device, int ordinal)                                                                 \
  X(cuDeviceGetCount, int* count)                                                                               \
  X(cuDeviceGetName, char* name, int size, CUdevice device)                                                     \
  X(cuDevicePrimaryCtxRelease_v2, CUdevice device)                                                              \
  X(cuDevicePrimaryCtxRetain, CUcontext* context, CUdevice device)                                              \
  X(cuEventCreate, CUevent* event, unsigned flags)                                                              \
  X(cuEventDestroy_v2, CUevent event)                                                                           \
  X(cuEventQuery, CUevent event)                                                                                \
  X(cuEventRecord, CUevent event, CUstream stream)                                                              \
  X(cuGetErrorName, CUresult error, const char** name)                                                          \
  X(cuGetErrorString, CUresult error, const char** text)                                                        \
  X(cuInit, unsigned flags)                                                                                     \
  X(cuMemAlloc_v2, CUdeviceptr* memory, std::size_t size)                                                       \
  X(cuMemFree_v2, CUdeviceptr memory)                                                                           \
  X(cuMemFreeHost, void* memory)                                                                                \
  X(cuMemGetInfo_v2, std::size_t* free, std::size_t* total)                                                     \
  X(cuMemHostAlloc, void** memory, std::size_t size, unsigned flags)                                            \
  X(cuMemcpyHtoDAsync_v2, CUdeviceptr to, const void* from, std::size_t size, CUstream stream)                  \
  X(cuPointerGetAttributes, unsigned count, CUpointer_attribute* attributes, void** values, CUdeviceptr memory) \
  X(cuStreamCreate, CUstream* stream, unsigned flags)                                                           \
  X(cuStreamDestroy_v2, CUstream stream)                                                                        \
  X(cuStreamGetCtx, CUstream stream, CUcontext* context)                                                        \
  X(cuStreamQuery, CUstream stream)

#endif  // TENSORFERRY_CLIENT_CUDA_DRIVER_API_H_
