// SPDX-License-Identifier: Apache-2.0
// One device object per process and device, on the fake driver.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tensorferry/cuda.h"
#include "tests/client/cuda/device_memory.h"
#include "tests/testing/fake_cuda/fake_cuda.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry {
namespace {

using test::FakeCuda;
using test::StatusIs;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr CudaOptions kOptions = {.staging_buffer_bytes = 16 << 10, .staging_buffers = 3};
constexpr std::int64_t kPinnedBytes = 3 * (16 << 10);

class DeviceRegistryTest : public ::testing::Test {
 protected:
  DeviceRegistryTest() { fake_.Reset(); }
  ~DeviceRegistryTest() override {
    EXPECT_EQ(fake_.holdings(), test::CudaHoldings{});
    EXPECT_THAT(fake_.violations(), ::testing::IsEmpty());
  }

  int Allocations() const { return fake_.calls()["cuMemHostAlloc"]; }

  FakeCuda& fake_ = FakeCuda::Get();
};

TEST_F(DeviceRegistryTest, SecondOpenSharesTheStagingBuffersOfTheFirst) {
  TF_ASSERT_OK_AND_ASSIGN(const CudaDevice first, CudaDevice::Open(0, kOptions));
  TF_ASSERT_OK_AND_ASSIGN(const CudaDevice second, CudaDevice::Open(0, kOptions));
  EXPECT_EQ(Allocations(), 1);
  EXPECT_EQ(fake_.pinned_bytes(), kPinnedBytes);
  EXPECT_EQ(fake_.holdings().streams, 1);
  // Memory of the first is memory of the second.
  TF_ASSERT_OK_AND_ASSIGN(const CudaMemory memory, first.Allocate(5));
  TF_ASSERT_OK(test::Fill(second.Span(memory.data(), 5), "bytes"));
  TF_ASSERT_OK_AND_ASSIGN(const std::string got, test::ReadBack(first, memory.data(), 5));
  EXPECT_EQ(got, "bytes");
}

TEST_F(DeviceRegistryTest, EachDeviceHasItsOwnBuffers) {
  TF_ASSERT_OK_AND_ASSIGN(const CudaDevice first, CudaDevice::Open(0, kOptions));
  TF_ASSERT_OK_AND_ASSIGN(const CudaDevice second, CudaDevice::Open(1));
  EXPECT_EQ(Allocations(), 2);
  EXPECT_EQ(second.ordinal(), 1);
}

TEST_F(DeviceRegistryTest, OtherOptionsAreRefusedWhileTheDeviceIsOpen) {
  auto device = CudaDevice::Open(0, kOptions);
  TF_ASSERT_OK(device);
  EXPECT_THAT(CudaDevice::Open(0, {.staging_buffer_bytes = 32 << 10, .staging_buffers = 5}),
              StatusIs(absl::StatusCode::kInvalidArgument,
                       AllOf(HasSubstr("cuda:0"), HasSubstr("3 staging buffers of 16384 bytes"),
                             HasSubstr("5 of 32768 bytes"))));
  EXPECT_THAT(CudaDevice::Open(0), StatusIs(absl::StatusCode::kInvalidArgument));
  TF_EXPECT_OK(CudaDevice::Open(0, kOptions));
  EXPECT_EQ(Allocations(), 1);
  // The last copy is destroyed, so that other options are valid.
  device = absl::UnknownError("closed");
  EXPECT_EQ(fake_.pinned_bytes(), 0);
  TF_ASSERT_OK_AND_ASSIGN(const CudaDevice other, CudaDevice::Open(0));
  EXPECT_EQ(Allocations(), 2);
}

TEST_F(DeviceRegistryTest, CopiesMemoryAndDestinationsKeepTheDeviceOpen) {
  std::optional<Destination> destination;
  {
    std::optional<CudaMemory> memory;
    {
      std::optional<CudaDevice> copy;
      {
        TF_ASSERT_OK_AND_ASSIGN(const CudaDevice device, CudaDevice::Open(0, kOptions));
        copy = device;
      }
      EXPECT_EQ(fake_.pinned_bytes(), kPinnedBytes);
      TF_ASSERT_OK_AND_ASSIGN(memory, copy->Allocate(100));
    }
    EXPECT_EQ(fake_.pinned_bytes(), kPinnedBytes);
    TF_ASSERT_OK_AND_ASSIGN(const CudaDevice device, CudaDevice::Open(0, kOptions));
    destination = device.Span(memory->data(), 100);
  }
  EXPECT_EQ(fake_.pinned_bytes(), kPinnedBytes);
  EXPECT_EQ(Allocations(), 1);
  destination.reset();
  EXPECT_EQ(fake_.pinned_bytes(), 0);
}

TEST_F(DeviceRegistryTest, FailedOpenLeavesNothingBehind) {
  fake_.FailCall("cuMemHostAlloc", 0, cuda::CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_THAT(CudaDevice::Open(0, kOptions), StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_EQ(fake_.holdings(), test::CudaHoldings{});
  TF_EXPECT_OK(CudaDevice::Open(0));
}

TEST_F(DeviceRegistryTest, ConcurrentOpensShareOneDevice) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 50;
  for (int round = 0; round < kRounds; ++round) {
    fake_.Reset();
    std::vector<std::optional<CudaDevice>> devices(kThreads);
    std::vector<absl::Status> results(kThreads);
    {
      std::vector<std::jthread> threads;
      for (std::size_t i = 0; i < kThreads; ++i) {
        threads.emplace_back([&, i] {
          auto device = CudaDevice::Open(0, kOptions);
          results[i] = device.status();
          if (device.ok()) devices[i] = *std::move(device);
        });
      }
    }
    for (const absl::Status& result : results) TF_EXPECT_OK(result);
    ASSERT_EQ(Allocations(), 1);
    ASSERT_EQ(fake_.pinned_bytes(), kPinnedBytes);
  }
}

// Threads open and close without pause, so that opens meet a device that is being closed.
TEST_F(DeviceRegistryTest, OpenWhileTheLastCopyCloses) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 200;
  std::vector<absl::Status> results(kThreads);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        for (int round = 0; round < kRounds && results[i].ok(); ++round) {
          results[i] = CudaDevice::Open(0, kOptions).status();
        }
      });
    }
  }
  for (const absl::Status& result : results) TF_EXPECT_OK(result);
}

}  // namespace
}  // namespace tensorferry
