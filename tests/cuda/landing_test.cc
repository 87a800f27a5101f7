// SPDX-License-Identifier: Apache-2.0
// What becomes of copies: which are joined, and how a fetch ends whose driver fails while they are under way. In the
// calls that a fetch makes, without a server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <limits>
#include <span>
#include <string>
#include <thread>
#include <utility>

#include "tensorferry/cuda.h"
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

constexpr std::int64_t kSlotBytes = 16 << 10;
constexpr int kSlots = 3;
constexpr int kAlways = std::numeric_limits<int>::max();

class LandingTest : public ::testing::Test {
 protected:
  LandingTest() { fake_.Reset(); }
  ~LandingTest() override {
    device_.reset();
    EXPECT_EQ(fake_.holdings(), test::CudaHoldings{});
    EXPECT_THAT(fake_.violations(), IsEmpty());
  }

  void SetUp() override {
    auto device = CudaDevice::Open(0, {.slot_bytes = kSlotBytes, .slot_count = kSlots});
    TF_ASSERT_OK(device);
    device_.emplace(*std::move(device));
  }

  CudaMemory Allocate(std::int64_t size_bytes) const {
    auto memory = device_->Allocate(size_bytes);
    EXPECT_TRUE(memory.ok()) << memory.status();
    return *std::move(memory);
  }

  absl::Status Fill(const CudaMemory& memory, const std::string& bytes) const {
    auto destination = CudaDestination::Create(*device_, memory.data(), static_cast<std::int64_t>(bytes.size()));
    if (!destination.ok()) return destination.status();
    absl::Status status = destination->Begin({});
    if (status.ok()) status = destination->Write(0, AsBytes(bytes));
    if (status.ok()) status = destination->Finish();
    if (!status.ok()) destination->Abandon(absl::InfiniteFuture());
    return status;
  }

  std::string BytesOf(const CudaMemory& memory) const {
    std::string bytes(static_cast<std::size_t>(memory.size_bytes()), '\0');
    TF_EXPECT_OK(device_->CopyToHost(memory.data(), std::as_writable_bytes(std::span(bytes))));
    return bytes;
  }

  FakeCuda& fake_ = FakeCuda::Get();
  test::Random random_;
  std::optional<CudaDevice> device_;
};

TEST_F(LandingTest, CopiesEndWhereAnAllocationEnds) {
  // Ends of one allocation and beginnings of the next, which lie side by side on the device and in a slot.
  const CudaMemory first = Allocate(4096);
  const CudaMemory second = Allocate(4096);
  ASSERT_EQ(static_cast<std::byte*>(first.data()) + 4096, second.data());
  const std::array<std::string, 4> bytes = {random_.Bytes(2048), random_.Bytes(2048), random_.Bytes(1000),
                                            random_.Bytes(3096)};
  std::vector<CudaDestination> destinations;
  std::int64_t offset = 0;
  for (const std::string& each : bytes) {
    auto* const place = static_cast<std::byte*>(first.data()) + offset;
    TF_ASSERT_OK_AND_ASSIGN(CudaDestination made,
                            CudaDestination::Create(*device_, place, static_cast<std::int64_t>(each.size())));
    destinations.push_back(std::move(made));
    offset += static_cast<std::int64_t>(each.size());
  }
  const int before = fake_.calls()["cuMemcpyHtoDAsync"];
  for (CudaDestination& destination : destinations) TF_ASSERT_OK(destination.Begin({}));
  for (std::size_t i = 0; i < bytes.size(); ++i) TF_ASSERT_OK(destinations[i].Write(0, AsBytes(bytes[i])));
  for (CudaDestination& destination : destinations) TF_ASSERT_OK(destination.Finish());
  EXPECT_EQ(fake_.calls()["cuMemcpyHtoDAsync"] - before, 2);
  EXPECT_TRUE(BytesOf(first) == bytes[0] + bytes[1]);
  EXPECT_TRUE(BytesOf(second) == bytes[2] + bytes[3]);
}

// While copies are under way: the caller may free the memory once it hears of the failure.
TEST_F(LandingTest, FailureIsReportedWhenNothingIsUnderWay) {
  struct Fault {
    const char* function;
    int index;
    int times;
  };
  for (const Fault fault :
       {Fault{"cuEventRecord", 0, 1}, Fault{"cuEventRecord", 0, kAlways}, Fault{"cuEventRecord", 1, kAlways},
        Fault{"cuEventQuery", 0, 1}, Fault{"cuEventQuery", 0, kAlways}, Fault{"cuMemcpyHtoDAsync", 1, 1},
        Fault{"cuMemcpyHtoDAsync", 1, kAlways}}) {
    SCOPED_TRACE(std::string(fault.function) + " " + std::to_string(fault.index));
    const CudaMemory memory = Allocate(2 * kSlotBytes + 100);
    const std::string bytes = random_.Bytes(2 * kSlotBytes + 100);
    fake_.SetStuck(true);
    fake_.FailCall(fault.function, fault.index, CUDA_ERROR_UNKNOWN, fault.times);
    absl::Status status;
    int under_way = -1;
    std::jthread fetch([&] {
      status = Fill(memory, bytes);
      under_way = fake_.copies_under_way();
    });
    while (!fake_.failed()) std::this_thread::yield();
    // Time for a fetch that does not wait to show that it does not.
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    fake_.SetStuck(false);
    fetch.join();
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kInternal,
                                 HasSubstr("a copy by way of cuda:0 failed: FAKE_ERROR_999 (as the fake driver")));
    EXPECT_EQ(under_way, 0);
    // Every slot is to be had again.
    fake_.FailCall("", 0, CUDA_SUCCESS);
    TF_ASSERT_OK(Fill(memory, bytes));
    EXPECT_TRUE(BytesOf(memory) == bytes);
  }
}

TEST_F(LandingTest, SlotsOfALostDeviceAreNotUsedAgain) {
  const CudaMemory memory = Allocate(100);
  fake_.FailCopy(0, CUDA_ERROR_ILLEGAL_ADDRESS);
  const auto fails = [&] {
    EXPECT_THAT(Fill(memory, random_.Bytes(100)),
                StatusIs(absl::StatusCode::kInternal, HasSubstr("a copy by way of cuda:0 failed: FAKE_ERROR_700")));
  };
  for (int i = 0; i < 3 * kSlots; ++i) fails();
  EXPECT_LE(fake_.calls()["cuMemcpyHtoDAsync"], kSlots);
}

}  // namespace
}  // namespace tensorferry
