// SPDX-License-Identifier: Apache-2.0
// The copies of a fetch: the parts that share a copy, and the end of a fetch when the driver fails while copies are
// pending. Makes the calls of a fetch, without a server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tensorferry/cuda.h"
#include "tests/client/cuda/device_memory.h"
#include "tests/testing/fake_cuda/fake_cuda.h"
#include "tests/testing/random.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry {
namespace {

using test::AsBytes;
using test::FakeCuda;
using test::StatusIs;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::int64_t kStagingBufferBytes = 16 << 10;
constexpr int kStagingBuffers = 3;
constexpr int kAlways = std::numeric_limits<int>::max();

class TransferTest : public ::testing::Test {
 protected:
  TransferTest() { fake_.Reset(); }
  ~TransferTest() override {
    device_.reset();
    EXPECT_EQ(fake_.holdings(), test::CudaHoldings{});
    EXPECT_THAT(fake_.violations(), IsEmpty());
  }

  void SetUp() override {
    auto device =
        CudaDevice::Open(0, {.staging_buffer_bytes = kStagingBufferBytes, .staging_buffers = kStagingBuffers});
    TF_ASSERT_OK(device);
    device_.emplace(*std::move(device));
  }

  CudaMemory Allocate(std::int64_t size_bytes) const {
    auto memory = device_->Allocate(size_bytes);
    EXPECT_TRUE(memory.ok()) << memory.status();
    return *std::move(memory);
  }

  absl::Status Fill(const CudaMemory& memory, const std::string& bytes) const {
    return test::Fill(device_->Span(memory.data(), static_cast<std::int64_t>(bytes.size())), bytes);
  }

  std::string BytesOf(const CudaMemory& memory) const {
    auto bytes = test::ReadBack(*device_, memory.data(), memory.size_bytes());
    TF_EXPECT_OK(bytes);
    return bytes.ok() ? *std::move(bytes) : std::string();
  }

  FakeCuda& fake_ = FakeCuda::Get();
  test::Random random_;
  std::optional<CudaDevice> device_;
};

TEST_F(TransferTest, CopiesEndWhereAnAllocationEnds) {
  // The end of one allocation and the beginning of the next are adjacent on the device and in a staging buffer.
  const CudaMemory first = Allocate(4096);
  const CudaMemory second = Allocate(4096);
  ASSERT_EQ(static_cast<std::byte*>(first.data()) + 4096, second.data());
  const std::array<std::string, 4> bytes = {random_.Bytes(2048), random_.Bytes(2048), random_.Bytes(1000),
                                            random_.Bytes(3096)};
  std::vector<std::unique_ptr<Sink>> sinks;
  std::int64_t offset = 0;
  for (const std::string& each : bytes) {
    auto* const place = static_cast<std::byte*>(first.data()) + offset;
    const auto size_bytes = static_cast<std::int64_t>(each.size());
    TF_ASSERT_OK_AND_ASSIGN(std::unique_ptr<Sink> sink, test::OpenSink(device_->Span(place, size_bytes)));
    sinks.push_back(std::move(sink));
    offset += size_bytes;
  }
  const int before = fake_.calls()["cuMemcpyHtoDAsync_v2"];
  for (const std::unique_ptr<Sink>& sink : sinks) TF_ASSERT_OK(sink->Begin({}));
  for (std::size_t i = 0; i < bytes.size(); ++i) TF_ASSERT_OK(sinks[i]->Write(0, AsBytes(bytes[i])));
  for (const std::unique_ptr<Sink>& sink : sinks) TF_ASSERT_OK(sink->Finish());
  EXPECT_EQ(fake_.calls()["cuMemcpyHtoDAsync_v2"] - before, 2);
  EXPECT_TRUE(BytesOf(first) == bytes[0] + bytes[1]);
  EXPECT_TRUE(BytesOf(second) == bytes[2] + bytes[3]);
}

// The caller may free the memory as soon as it gets the error.
TEST_F(TransferTest, FailureIsReportedWhenNoCopyIsPending) {
  struct Fault {
    const char* function;
    int index;
    int times;
  };
  for (const Fault fault :
       {Fault{"cuEventRecord", 0, 1}, Fault{"cuEventRecord", 0, kAlways}, Fault{"cuEventRecord", 1, kAlways},
        Fault{"cuEventQuery", 0, 1}, Fault{"cuEventQuery", 0, kAlways}, Fault{"cuMemcpyHtoDAsync_v2", 1, 1},
        Fault{"cuMemcpyHtoDAsync_v2", 1, kAlways}}) {
    SCOPED_TRACE(std::string(fault.function) + " " + std::to_string(fault.index));
    const CudaMemory memory = Allocate(2 * kStagingBufferBytes + 100);
    const std::string bytes = random_.Bytes(2 * kStagingBufferBytes + 100);
    fake_.SetStuck(true);
    fake_.FailCall(fault.function, fault.index, cuda::CUDA_ERROR_UNKNOWN, fault.times);
    absl::Status status;
    int pending = -1;
    std::jthread fetch([&] {
      status = Fill(memory, bytes);
      pending = fake_.pending_copies();
    });
    while (!fake_.failed()) std::this_thread::yield();
    // Gives a fetch that wrongly does not wait the time to end, with copies pending.
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    fake_.SetStuck(false);
    fetch.join();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInternal,
                                 HasSubstr("a copy to cuda:0 failed: FAKE_ERROR_999 (as the fake driver")));
    EXPECT_EQ(pending, 0);
    // Every staging buffer is free again.
    fake_.FailCall("", 0, cuda::CUDA_SUCCESS);
    TF_ASSERT_OK(Fill(memory, bytes));
    EXPECT_TRUE(BytesOf(memory) == bytes);
  }
}

TEST_F(TransferTest, BuffersOfALostDeviceAreNotUsedAgain) {
  const CudaMemory memory = Allocate(100);
  fake_.FailCopy(0, cuda::CUDA_ERROR_ILLEGAL_ADDRESS);
  const auto fails = [&] {
    EXPECT_THAT(Fill(memory, random_.Bytes(100)),
                StatusIs(absl::StatusCode::kInternal, HasSubstr("a copy to cuda:0 failed: FAKE_ERROR_700")));
  };
  for (int i = 0; i < 3 * kStagingBuffers; ++i) fails();
  EXPECT_LE(fake_.calls()["cuMemcpyHtoDAsync_v2"], kStagingBuffers);
}

}  // namespace
}  // namespace tensorferry
