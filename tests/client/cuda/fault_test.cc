// SPDX-License-Identifier: Apache-2.0
// Makes every call of the driver fail once. The result is always the right bytes or an error, and nothing leaks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tests/client/cuda/device_fetch.h"
#include "tests/client/cuda/device_memory.h"
#include "tests/testing/fake_cuda/fake_cuda.h"
#include "tests/testing/served_model.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry {
namespace {

using test::DeviceRead;
using test::DeviceReads;
using test::FakeCuda;
using ::testing::IsEmpty;

constexpr int kFewestFaults = 5000;
// Under sanitizers only a sample of the calls fails.
const int kStride = std::getenv("TENSORFERRY_SANITIZED") != nullptr ? 10 : 1;

class FaultTest : public ::testing::Test {
 protected:
  using Plan = std::vector<DeviceRead>;

  FaultTest() : served_(Tensors(), random_), client_(served_.Connect()) {}

  static std::vector<test::TensorSpec> Tensors() {
    std::vector<test::TensorSpec> tensors = {{"tensor", Dtype::kBf16, {30'000}}, {"matrix", Dtype::kF32, {100, 90}}};
    for (int i = 0; i < 60; ++i) tensors.push_back({"s" + std::to_string(i), Dtype::kI8, {1 + 13 * (i % 40)}});
    return tensors;
  }

  Plan OneTensor() const { return {{.tensor = "tensor", .expected = served_.Expected("tensor")}}; }
  Plan OneSlice() const {
    // Columns [10, 70) of every other row.
    const std::string whole = served_.Expected("matrix");
    DeviceRead read{.tensor = "matrix", .slice = *SliceSpec::Parse("[::2, 10:70]")};
    for (std::size_t row = 0; row < 100; row += 2) read.expected += whole.substr((row * 90 + 10) * 4, 60 * 4);
    return {read};
  }
  Plan ManySmall() const {
    Plan plan;
    for (int i = 0; i < 60; ++i) plan.push_back({.tensor = "s" + std::to_string(i)});
    for (DeviceRead& read : plan) read.expected = served_.Expected(read.tensor);
    return plan;
  }

  // Fills destinations with a fetch from the server, or with the same calls without a server, which is faster.
  enum class By { kFetch, kHand };

  absl::Status Fill(const DeviceReads& reads, const Plan& plan, By by) const {
    FetchOptions options;
    options.timeout = absl::Seconds(30);
    if (by == By::kFetch) return client_.Fetch(test::ServedModel::kName, reads.reads(), options).status();
    std::vector<std::unique_ptr<Sink>> sinks;
    for (const Read& read : reads.reads()) {
      absl::StatusOr<std::unique_ptr<Sink>> sink = test::OpenSink(read.into);
      if (!sink.ok()) return sink.status();
      sinks.push_back(*std::move(sink));
    }
    absl::Status status = Write(sinks, plan, {.deadline = absl::Now() + options.timeout});
    if (status.ok()) return status;
    const absl::Time until = absl::Now() + absl::Seconds(1);
    for (const std::unique_ptr<Sink>& sink : sinks) sink->Abandon(until);
    return status;
  }

  static absl::Status Write(const std::vector<std::unique_ptr<Sink>>& sinks, const Plan& plan,
                            const FetchLimits& limits) {
    for (const std::unique_ptr<Sink>& sink : sinks) {
      if (absl::Status status = sink->Begin(limits); !status.ok()) return status;
    }
    for (std::size_t i = 0; i < plan.size(); ++i) {
      constexpr std::size_t kSegmentBytes = 20'000;
      const std::span<const std::byte> bytes = test::AsBytes(plan[i].expected);
      for (std::size_t begin = 0; begin < bytes.size(); begin += kSegmentBytes) {
        const auto segment = bytes.subspan(begin, std::min(kSegmentBytes, bytes.size() - begin));
        const std::array pieces = {segment.first(segment.size() / 3), segment.subspan(segment.size() / 3)};
        absl::Status status = sinks[i]->WriteAll(static_cast<std::int64_t>(begin), pieces);
        if (!status.ok()) return status;
      }
    }
    for (const std::unique_ptr<Sink>& sink : sinks) {
      if (absl::Status status = sink->Finish(); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  static absl::StatusOr<CudaDevice> Open() {
    return CudaDevice::Open(0, {.staging_buffer_bytes = 8 << 10, .staging_buffers = 2});
  }

  // Opens the device, fetches, and reads back.
  absl::Status Run(const Plan& plan, By by) const {
    const auto device = Open();
    return device.ok() ? FetchAndCheck(*device, plan, by) : device.status();
  }

  absl::Status FetchAndCheck(const CudaDevice& device, const Plan& plan, By by) const {
    const auto reads = DeviceReads::Create(device, plan, {0, 7}, /*filled=*/false);
    if (!reads.ok()) return reads.status();
    const absl::Status fetched = Fill(*reads, plan, by);
    EXPECT_EQ(fake_.pending_copies(), 0) << "the device still writes to the caller's memory: " << fetched;
    EXPECT_FALSE(absl::IsDeadlineExceeded(fetched)) << "a hung call";
    if (!fetched.ok()) return fetched;
    const absl::Status checked = reads->Check(device);
    EXPECT_FALSE(absl::IsDataLoss(checked)) << "wrong bytes reported as success: " << checked;
    return checked;
  }

  int FirstOfSample() { return static_cast<int>(random_.Below(static_cast<std::size_t>(kStride))); }

  void ExpectNothingHeld() const {
    EXPECT_EQ(fake_.holdings(), test::CudaHoldings{});
    EXPECT_EQ(fake_.pinned_bytes(), 0);
    EXPECT_THAT(fake_.violations(), IsEmpty());
    EXPECT_EQ(fake_.pageable_copies(), 0);
  }

  void FailEveryCall(By by, std::chrono::microseconds delay, const Plan& plan, cuda::CUresult error) {
    fake_.Reset();
    fake_.SetMaxDelay(delay);
    TF_ASSERT_OK(Run(plan, by));
    for (const auto& [function, count] : fake_.calls()) {
      for (int i = FirstOfSample(); i < count; i += kStride) {
        SCOPED_TRACE(function + " " + std::to_string(i) + " fails with " + std::to_string(error));
        fake_.Reset();
        fake_.SetMaxDelay(delay);
        fake_.FailCall(function, i, error);
        FetchTwiceIfItFails(by, plan);
        ExpectNothingHeld();
        if (HasFailure()) return;
      }
    }
  }

  void FetchTwiceIfItFails(By by, const Plan& plan) {
    absl::StatusOr<CudaDevice> device = Open();
    const absl::Status status = device.ok() ? FetchAndCheck(*device, plan, by) : device.status();
    const int failed = fake_.failed() ? 1 : 0;
    faults_ += failed;
    if (status.ok()) {
      survived_ += failed;
      return;
    }
    // Without the fault, a second attempt succeeds, on the same device if it was opened.
    ASSERT_EQ(failed, 1) << status;
    if (!device.ok()) device = Open();
    TF_ASSERT_OK(device);
    TF_ASSERT_OK(FetchAndCheck(*device, plan, by));
  }

  FakeCuda& fake_ = FakeCuda::Get();
  int faults_ = 0;
  int survived_ = 0;
  test::Random random_;
  test::ServedModel served_;
  Client client_;
};

TEST_F(FaultTest, EveryCallFails) {
  // The number of calls depends on the number of polls.
  for (const cuda::CUresult error :
       {cuda::CUDA_ERROR_UNKNOWN, cuda::CUDA_ERROR_OUT_OF_MEMORY, cuda::CUDA_ERROR_ILLEGAL_ADDRESS}) {
    for (const Plan& plan : {OneTensor(), OneSlice(), ManySmall()}) {
      FailEveryCall(By::kFetch, {}, plan, error);
      FailEveryCall(By::kHand, {}, plan, error);
      FailEveryCall(By::kHand, std::chrono::microseconds(100), plan, error);
      if (HasFailure()) return;
    }
    if (faults_ >= kFewestFaults / kStride) break;
  }
  std::printf("%d calls failed; after %d of them the fetch succeeded all the same, with the right bytes\n", faults_,
              survived_);
  EXPECT_GE(faults_, kFewestFaults / kStride);
}

TEST_F(FaultTest, EveryCopyFailsOnTheDevice) {
  int faults = 0;
  for (const Plan& plan : {OneTensor(), OneSlice(), ManySmall()}) {
    fake_.Reset();
    TF_ASSERT_OK(Run(plan, By::kFetch));
    const std::map<std::string, int> calls = fake_.calls();
    const int copies = calls.at("cuMemcpyHtoDAsync_v2") + calls.at("cuMemcpyDtoH_v2");
    for (int i = FirstOfSample(); i < copies; i += kStride) {
      SCOPED_TRACE("copy " + std::to_string(i) + " fails");
      fake_.Reset();
      fake_.FailCopy(i, cuda::CUDA_ERROR_ILLEGAL_ADDRESS);
      {
        TF_ASSERT_OK_AND_ASSIGN(const CudaDevice device, Open());
        EXPECT_THAT(FetchAndCheck(device, plan, By::kFetch), test::StatusIs(absl::StatusCode::kInternal));
        // The device stays lost to this process.
        EXPECT_THAT(FetchAndCheck(device, plan, By::kFetch), test::StatusIs(absl::StatusCode::kInternal));
        faults += fake_.failed() ? 1 : 0;
      }
      ExpectNothingHeld();
      TF_ASSERT_OK(Run(plan, By::kFetch));
      if (HasFailure()) return;
    }
  }
  std::printf("%d copies failed on the device\n", faults);
}

}  // namespace
}  // namespace tensorferry
