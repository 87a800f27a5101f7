// SPDX-License-Identifier: Apache-2.0
// Compares our declarations of the CUDA driver API with cuda.h. The compiler checks all but the values of two handles.
// Ours come first: cuda.h defines macros.
#include "client/cuda/driver_api.h"

#include <cuda.h>
#include <gtest/gtest.h>

#include <string_view>
#include <type_traits>

namespace tensorferry::cuda {
namespace {

// Translates a type of cuda.h into ours: the types that both declare, and pointers and functions made of them.
template <typename T>
struct OurType {
  using Type = T;
};
template <typename T>
using Ours = typename OurType<T>::Type;

template <typename T>
struct OurType<T*> {
  using Type = Ours<T>*;
};
template <typename T>
struct OurType<const T> {
  using Type = const Ours<T>;
};
template <typename Result, typename... Parameters>
struct OurType<Result(Parameters...)> {
  using Type = Ours<Result>(Ours<Parameters>...);
};

#define DECLARED_BY_BOTH(name) \
  template <>                  \
  struct OurType<::name> {     \
    using Type = cuda::name;   \
  };
DECLARED_BY_BOTH(CUctx_st)
DECLARED_BY_BOTH(CUevent_st)
DECLARED_BY_BOTH(CUstream_st)
DECLARED_BY_BOTH(CUpointer_attribute)
DECLARED_BY_BOTH(CUresult)

#define SAME_TYPE(name) static_assert(std::is_same_v<Ours<::name>, cuda::name>, #name " is another type");
SAME_TYPE(CUcontext)
SAME_TYPE(CUdevice)
SAME_TYPE(CUdeviceptr)
SAME_TYPE(CUevent)
SAME_TYPE(CUstream)

#define SAME_ENUM(name)                                                                             \
  static_assert(sizeof(::name) == sizeof(cuda::name), #name " has another size");                   \
  static_assert(std::is_same_v<std::underlying_type_t<::name>, std::underlying_type_t<cuda::name>>, \
                #name " is another integer");
SAME_ENUM(CUevent_flags)
SAME_ENUM(CUmemorytype)
SAME_ENUM(CUpointer_attribute)
SAME_ENUM(CUresult)
SAME_ENUM(CUstream_flags)

#define SAME_VALUE(name) \
  static_assert(static_cast<unsigned>(::name) == static_cast<unsigned>(cuda::name), #name " has another value");
SAME_VALUE(CUDA_SUCCESS)
SAME_VALUE(CUDA_ERROR_INVALID_VALUE)
SAME_VALUE(CUDA_ERROR_OUT_OF_MEMORY)
SAME_VALUE(CUDA_ERROR_NOT_INITIALIZED)
SAME_VALUE(CUDA_ERROR_NO_DEVICE)
SAME_VALUE(CUDA_ERROR_INVALID_DEVICE)
SAME_VALUE(CUDA_ERROR_INVALID_CONTEXT)
SAME_VALUE(CUDA_ERROR_INVALID_HANDLE)
SAME_VALUE(CUDA_ERROR_NOT_READY)
SAME_VALUE(CUDA_ERROR_ILLEGAL_ADDRESS)
SAME_VALUE(CUDA_ERROR_CONTEXT_IS_DESTROYED)
SAME_VALUE(CUDA_ERROR_UNKNOWN)
SAME_VALUE(CU_EVENT_DISABLE_TIMING)
SAME_VALUE(CU_MEMORYTYPE_HOST)
SAME_VALUE(CU_MEMORYTYPE_DEVICE)
SAME_VALUE(CU_POINTER_ATTRIBUTE_MEMORY_TYPE)
SAME_VALUE(CU_POINTER_ATTRIBUTE_IS_MANAGED)
SAME_VALUE(CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL)
SAME_VALUE(CU_POINTER_ATTRIBUTE_RANGE_START_ADDR)
SAME_VALUE(CU_POINTER_ATTRIBUTE_RANGE_SIZE)
SAME_VALUE(CU_STREAM_NON_BLOCKING)

// cuda.h defines cuMemAlloc as cuMemAlloc_v2. The symbol cuMemAlloc is an older function with other parameters.
#define TEXT_OF(...) #__VA_ARGS__
#define EXPANDED(name) TEXT_OF(name)
#define SAME_FUNCTION(name, ...)                                                                               \
  static_assert(std::is_same_v<Ours<decltype(::name)>, CUresult(__VA_ARGS__)>, #name " has other parameters"); \
  static_assert(std::string_view(#name) == EXPANDED(name), #name " is the symbol of an older version");
TENSORFERRY_CUDA_FUNCTIONS(SAME_FUNCTION)
// The function that only the tests call.
SAME_FUNCTION(cuMemcpyDtoH_v2, void* to, CUdeviceptr from, std::size_t size)

TEST(DriverApiTest, DefaultStreamsAreThoseOfCudaH) {
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(LegacyStream()), reinterpret_cast<std::uintptr_t>(CU_STREAM_LEGACY));
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(PerThreadStream()),
            reinterpret_cast<std::uintptr_t>(CU_STREAM_PER_THREAD));
}

}  // namespace
}  // namespace tensorferry::cuda
