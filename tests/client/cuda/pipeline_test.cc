// SPDX-License-Identifier: Apache-2.0
// Fetches into a device of the fake driver that is slow, stuck, small or shared.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "client/cuda/driver.h"
#include "tests/client/cuda/device_fetch.h"
#include "tests/client/cuda/device_memory.h"
#include "tests/testing/fake_cuda/fake_cuda.h"
#include "tests/testing/fault_server.h"
#include "tests/testing/served_model.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry {
namespace {

using test::DeviceRead;
using test::DeviceReads;
using test::FakeCuda;
using test::StatusIs;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::int64_t kStagingBufferBytes = 16 << 10;
constexpr std::int64_t kLargeBytes = 400'001;
constexpr int kSmallTensors = 500;
// The time that a call may take beyond its deadline.
constexpr absl::Duration kGrace = absl::Seconds(2);

std::vector<test::TensorSpec> Tensors() {
  std::vector<test::TensorSpec> tensors = {{"large", Dtype::kU8, {kLargeBytes}}, {"small", Dtype::kU8, {1000}}};
  for (int i = 0; i < kSmallTensors; ++i) tensors.push_back({"s" + std::to_string(i), Dtype::kI32, {1 + i % 50}});
  return tensors;
}

class PipelineTest : public ::testing::Test {
 protected:
  PipelineTest() : served_(Tensors(), random_), client_(served_.Connect()) { fake_.Reset(); }
  ~PipelineTest() override {
    device_.reset();
    EXPECT_EQ(fake_.holdings(), test::CudaHoldings{});
    EXPECT_THAT(fake_.violations(), IsEmpty());
    EXPECT_EQ(fake_.pageable_copies(), 0);
  }

  void SetUp() override {
    auto device = CudaDevice::Open(0, {.staging_buffer_bytes = kStagingBufferBytes, .staging_buffers = 3});
    TF_ASSERT_OK(device);
    device_.emplace(*std::move(device));
  }

  DeviceRead Whole(const std::string& tensor, std::optional<CudaStream> stream = std::nullopt) const {
    return {.tensor = tensor, .expected = served_.Expected(tensor), .stream = stream};
  }
  std::vector<DeviceRead> AllSmall() const {
    std::vector<DeviceRead> reads;
    for (int i = 0; i < kSmallTensors; ++i) reads.push_back(Whole("s" + std::to_string(i)));
    return reads;
  }
  DeviceReads Place(std::vector<DeviceRead> reads, const std::vector<std::int64_t>& gaps = {0}) const {
    auto placed = DeviceReads::Create(*device_, std::move(reads), gaps);
    EXPECT_TRUE(placed.ok()) << placed.status();
    return *std::move(placed);
  }
  absl::Status Fetch(const DeviceReads& reads, const FetchOptions& options = {}) const {
    return client_.Fetch(test::ServedModel::kName, reads.reads(), options).status();
  }
  absl::Status FetchWithin(absl::Duration timeout, const DeviceReads& reads) const {
    FetchOptions options;
    options.timeout = timeout;
    const absl::Time end = absl::Now() + timeout;
    const absl::Status status = Fetch(reads, options);
    EXPECT_LT(absl::Now() - end, kGrace);
    return status;
  }

  FakeCuda& fake_ = FakeCuda::Get();
  test::Random random_;
  test::ServedModel served_;
  Client client_;
  std::optional<CudaDevice> device_;
};

TEST_F(PipelineTest, ManySmallTensorsShareBuffersAndCopies) {
  const DeviceReads adjacent = Place(AllSmall());
  const int before = fake_.calls()["cuMemcpyHtoDAsync_v2"];
  TF_ASSERT_OK(Fetch(adjacent));
  const int copies = fake_.calls()["cuMemcpyHtoDAsync_v2"] - before;
  // 500 tensors of 51 KB in all are adjacent in the buffer and on the device. A buffer takes at most 128 parts.
  EXPECT_LE(copies, 8);
  TF_EXPECT_OK(adjacent.Check(*device_));

  const DeviceReads apart = Place(AllSmall(), {1, 3});
  TF_ASSERT_OK(Fetch(apart));
  TF_EXPECT_OK(apart.Check(*device_));
}

TEST_F(PipelineTest, BuffersArePinnedOnceForAllFetches) {
  EXPECT_EQ(fake_.pinned_bytes(), 3 * kStagingBufferBytes);
  for (int i = 0; i < 3; ++i) {
    const DeviceReads reads = Place({Whole("large")});
    TF_ASSERT_OK(Fetch(reads));
    EXPECT_EQ(fake_.pinned_bytes(), 3 * kStagingBufferBytes);
  }
  EXPECT_EQ(fake_.calls()["cuMemHostAlloc"], 1);
  EXPECT_EQ(fake_.calls()["cuEventCreate"], 3);
}

TEST_F(PipelineTest, SlowDeviceGetsEveryByte) {
  fake_.SetMaxDelay(std::chrono::milliseconds(3));
  for (int i = 0; i < 3; ++i) {
    const DeviceReads reads = Place({Whole("large"), Whole("small"), Whole("large")}, {1});
    TF_ASSERT_OK(Fetch(reads));
    TF_ASSERT_OK(reads.Check(*device_));
  }
}

TEST_F(PipelineTest, StreamsThatOvertakeEachOtherGiveTheSameBytes) {
  TF_ASSERT_OK_AND_ASSIGN(const cuda::Driver* driver, cuda::LoadDriver());
  cuda::CUcontext context = nullptr;
  ASSERT_EQ(driver->cuDevicePrimaryCtxRetain(&context, 0), cuda::CUDA_SUCCESS);
  ASSERT_EQ(driver->cuCtxSetCurrent(context), cuda::CUDA_SUCCESS);
  std::vector<cuda::CUstream> streams(4);
  for (cuda::CUstream& stream : streams) ASSERT_EQ(driver->cuStreamCreate(&stream, 0), cuda::CUDA_SUCCESS);
  fake_.SetMaxDelay(std::chrono::milliseconds(1));
  for (const int connections : {1, 3}) {
    const Client client = served_.Connect(connections);
    std::vector<DeviceRead> wanted;
    for (std::size_t i = 0; i < 40; ++i) {
      // More streams than buffers; null is the default stream.
      const std::size_t stream = random_.Below(streams.size() + 1);
      wanted.push_back(Whole(i % 8 == 0 ? "large" : "s" + std::to_string(i),
                             CudaStream{stream < streams.size() ? streams[stream] : nullptr}));
    }
    const DeviceReads reads = Place(wanted, {0, 5});
    TF_ASSERT_OK(client.Fetch(test::ServedModel::kName, reads.reads()));
    TF_ASSERT_OK(reads.Check(*device_));
  }
  for (const cuda::CUstream stream : streams) EXPECT_EQ(driver->cuStreamDestroy_v2(stream), cuda::CUDA_SUCCESS);
  EXPECT_EQ(driver->cuCtxSetCurrent(nullptr), cuda::CUDA_SUCCESS);
  EXPECT_EQ(driver->cuDevicePrimaryCtxRelease_v2(0), cuda::CUDA_SUCCESS);
}

TEST_F(PipelineTest, ContextOfTheCallerStaysCurrent) {
  TF_ASSERT_OK_AND_ASSIGN(const cuda::Driver* driver, cuda::LoadDriver());
  std::vector<cuda::CUcontext> contexts(3);
  ASSERT_EQ(driver->cuDevicePrimaryCtxRetain(&contexts[0], 0), cuda::CUDA_SUCCESS);
  ASSERT_EQ(driver->cuDevicePrimaryCtxRetain(&contexts[1], 1), cuda::CUDA_SUCCESS);
  for (const cuda::CUcontext context : contexts) {
    ASSERT_EQ(driver->cuCtxSetCurrent(context), cuda::CUDA_SUCCESS);
    FetchOptions options;
    cuda::CUcontext current = nullptr;
    options.on_progress = [&](const Progress&) {
      EXPECT_EQ(driver->cuCtxGetCurrent(&current), cuda::CUDA_SUCCESS);
      EXPECT_EQ(current, context);
    };
    {
      const DeviceReads reads = Place({Whole("large")});
      TF_EXPECT_OK(Fetch(reads, options));
      TF_EXPECT_OK(reads.Check(*device_));
    }
    EXPECT_EQ(driver->cuCtxGetCurrent(&current), cuda::CUDA_SUCCESS);
    EXPECT_EQ(current, context);
  }
  EXPECT_EQ(driver->cuDevicePrimaryCtxRelease_v2(0), cuda::CUDA_SUCCESS);
  EXPECT_EQ(driver->cuDevicePrimaryCtxRelease_v2(1), cuda::CUDA_SUCCESS);
}

TEST_F(PipelineTest, MemoryAndStreamsOfAnotherDeviceAreRefused) {
  TF_ASSERT_OK_AND_ASSIGN(const CudaDevice other, CudaDevice::Open(1));
  EXPECT_EQ(other.model_name(), "Fake GPU 1");
  TF_ASSERT_OK_AND_ASSIGN(const CudaMemory memory, other.Allocate(100));
  EXPECT_THAT(test::OpenSink(device_->Span(memory.data(), 100)),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("memory of cuda:1, not of cuda:0")));
  TF_ASSERT_OK_AND_ASSIGN(const CudaMemory own, device_->Allocate(100));
  TF_ASSERT_OK_AND_ASSIGN(const cuda::Driver* driver, cuda::LoadDriver());
  cuda::CUcontext context = nullptr;
  cuda::CUstream stream = nullptr;
  ASSERT_EQ(driver->cuDevicePrimaryCtxRetain(&context, 1), cuda::CUDA_SUCCESS);
  ASSERT_EQ(driver->cuCtxSetCurrent(context), cuda::CUDA_SUCCESS);
  ASSERT_EQ(driver->cuStreamCreate(&stream, 0), cuda::CUDA_SUCCESS);
  EXPECT_THAT(test::OpenSink(device_->Span(own.data(), 100, CudaStream{stream})),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("primary context of cuda:0")));
  EXPECT_EQ(driver->cuStreamDestroy_v2(stream), cuda::CUDA_SUCCESS);
  EXPECT_EQ(driver->cuCtxSetCurrent(nullptr), cuda::CUDA_SUCCESS);
  EXPECT_EQ(driver->cuDevicePrimaryCtxRelease_v2(1), cuda::CUDA_SUCCESS);
}

TEST_F(PipelineTest, OutOfMemoryNamesTheFreeBytes) {
  fake_.SetDeviceBytes(1'000'000);
  EXPECT_THAT(device_->Allocate(1'000'001),
              StatusIs(absl::StatusCode::kResourceExhausted, HasSubstr("1000000 of 1000000 bytes are free")));
  fake_.FailCall("cuMemHostAlloc", 0, cuda::CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_THAT(CudaDevice::Open(1), StatusIs(absl::StatusCode::kResourceExhausted,
                                            HasSubstr("cannot pin 4 staging buffers of 4194304 bytes")));
}

// The large tensor fills all buffers. The small one waits in Finish.
TEST_F(PipelineTest, StuckDeviceBlocksNoFetchBeyondItsDeadline) {
  for (const char* tensor : {"large", "small"}) {
    const DeviceReads reads = Place({Whole(tensor)});
    fake_.SetStuck(true);
    EXPECT_THAT(FetchWithin(absl::Milliseconds(300), reads), StatusIs(absl::StatusCode::kDeadlineExceeded));
    // gRPC's threads are not blocked.
    TF_EXPECT_OK(client_.ListTensors(test::ServedModel::kName));
    // Pending copies of the first fetch must not overwrite the bytes of a later one, which waits for them.
    EXPECT_THAT(FetchWithin(absl::Milliseconds(50), reads), StatusIs(absl::StatusCode::kDeadlineExceeded));
    fake_.SetStuck(false);
    TF_ASSERT_OK(Fetch(reads));
    TF_ASSERT_OK(reads.Check(*device_));
  }
}

TEST_F(PipelineTest, StopEndsTheWaitForAStuckDevice) {
  const DeviceReads reads = Place({Whole("large")});
  fake_.SetStuck(true);
  std::stop_source stop;
  FetchOptions options;
  options.stop_token = stop.get_token();
  std::jthread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    stop.request_stop();
  });
  EXPECT_THAT(Fetch(reads, options), StatusIs(absl::StatusCode::kCancelled));
  fake_.SetStuck(false);
  TF_ASSERT_OK(Fetch(reads));
  TF_ASSERT_OK(reads.Check(*device_));
}

TEST_F(PipelineTest, StalledFetchHoldsNoBufferThatOthersNeed) {
  TF_ASSERT_OK_AND_ASSIGN(const cuda::Driver* driver, cuda::LoadDriver());
  cuda::CUcontext context = nullptr;
  ASSERT_EQ(driver->cuDevicePrimaryCtxRetain(&context, 0), cuda::CUDA_SUCCESS);
  ASSERT_EQ(driver->cuCtxSetCurrent(context), cuda::CUDA_SUCCESS);
  std::vector<cuda::CUstream> streams(3);
  for (cuda::CUstream& stream : streams) ASSERT_EQ(driver->cuStreamCreate(&stream, 0), cuda::CUDA_SUCCESS);
  {
    // Three fetches have begun to fill one buffer each, and there are no more.
    TF_ASSERT_OK_AND_ASSIGN(const CudaMemory memory, device_->Allocate(300));
    std::vector<std::unique_ptr<Sink>> stalled;
    for (std::size_t i = 0; i < 3; ++i) {
      auto* const place = static_cast<std::byte*>(memory.data()) + 100 * i;
      TF_ASSERT_OK_AND_ASSIGN(std::unique_ptr<Sink> sink,
                              test::OpenSink(device_->Span(place, 100, CudaStream{streams[i]})));
      stalled.push_back(std::move(sink));
      TF_ASSERT_OK(stalled.back()->Begin({}));
      TF_ASSERT_OK(stalled.back()->Write(0, test::AsBytes(std::string(60, static_cast<char>('a' + i)))));
    }
    const DeviceReads reads = Place({Whole("large")});
    TF_ASSERT_OK(Fetch(reads));
    TF_ASSERT_OK(reads.Check(*device_));
    for (std::size_t i = 0; i < 3; ++i) {
      TF_ASSERT_OK(stalled[i]->Write(60, test::AsBytes(std::string(40, 'z'))));
      TF_ASSERT_OK(stalled[i]->Finish());
      TF_ASSERT_OK_AND_ASSIGN(const std::string got,
                              test::ReadBack(*device_, static_cast<std::byte*>(memory.data()) + 100 * i, 100));
      EXPECT_EQ(got, std::string(60, static_cast<char>('a' + i)) + std::string(40, 'z'));
    }
  }
  for (const cuda::CUstream stream : streams) EXPECT_EQ(driver->cuStreamDestroy_v2(stream), cuda::CUDA_SUCCESS);
  EXPECT_EQ(driver->cuCtxSetCurrent(nullptr), cuda::CUDA_SUCCESS);
  EXPECT_EQ(driver->cuDevicePrimaryCtxRelease_v2(0), cuda::CUDA_SUCCESS);
}

TEST_F(PipelineTest, BrokenStreamsGiveTheRightBytesOrAnError) {
  const std::string bytes = random_.Bytes(7300);
  test::FaultServer server(bytes, 1000);
  RetryOptions retry;
  retry.initial_delay = absl::ZeroDuration();
  TF_ASSERT_OK_AND_ASSIGN(const Client client, Client::Connect({server.address()}, {.retry = retry}));
  using test::Fault;
  for (const Fault fault : {Fault::kNone, Fault::kBreakAfterHeader, Fault::kBreak, Fault::kCancel, Fault::kFlippedByte,
                            Fault::kOtherShape, Fault::kEarlyOk, Fault::kDuplicate, Fault::kGap, Fault::kOversize,
                            Fault::kHugeMessage, Fault::kExtra, Fault::kBreakAtEnd, Fault::kNotFound}) {
    for (const std::size_t times : {1U, 9U}) {
      SCOPED_TRACE(::testing::PrintToString(fault) + " " + std::to_string(times) + " times");
      const DeviceReads reads = Place({{.tensor = "t", .expected = bytes}});
      server.SetFaults(std::vector<Fault>(times, fault));
      const absl::Status status = client.Fetch("m", reads.reads()).status();
      if (times == 1) {
        EXPECT_EQ(status.ok(), fault != Fault::kNotFound) << status;
      }
      if (status.ok()) {
        TF_EXPECT_OK(reads.Check(*device_));
      }
    }
  }
}

}  // namespace
}  // namespace tensorferry
