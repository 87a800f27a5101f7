// SPDX-License-Identifier: Apache-2.0
// Fetches into device memory and compares every byte, on a real device or on one of the fake driver.
#include "tests/client/cuda/device_fetch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tensorferry/slice_plan.h"
#include "tests/client/cuda/device_memory.h"
#include "tests/testing/served_model.h"
#include "tests/testing/slice_oracle.h"
#include "tests/testing/status_matchers.h"

namespace tensorferry {
namespace {

using test::DeviceRead;
using test::DeviceReads;

std::vector<test::TensorSpec> Tensors() {
  std::vector<test::TensorSpec> tensors = {{"large", Dtype::kU8, {9'000'001}}, {"empty", Dtype::kF32, {0, 3}}};
  for (const Dtype dtype : AllDtypes()) tensors.push_back({std::string(DtypeName(dtype)), dtype, {12, 7, 20}});
  for (int i = 0; i < 1000; ++i) tensors.push_back({"small." + std::to_string(i), Dtype::kU16, {i % 300}});
  return tensors;
}

class DeviceFetchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    // Small buffers, so that every fetch needs several.
    auto device = CudaDevice::Open(0, {.staging_buffer_bytes = 64 << 10, .staging_buffers = 3});
    if (absl::IsFailedPrecondition(device.status()) || absl::IsNotFound(device.status())) {
      GTEST_SKIP() << "not tested on a GPU: " << device.status();
    }
    TF_ASSERT_OK(device);
    device_.emplace(*std::move(device));
    served_.emplace(Tensors(), random_);
  }

  DeviceRead Whole(const std::string& tensor) const {
    return {.tensor = tensor, .expected = served_->Expected(tensor)};
  }

  // Returns a read of a random slice that fits the tensor.
  DeviceRead RandomSliceOf(const std::string& name) {
    const safetensors::TensorView view = served_->model().tensor(*served_->model().Find(name)).view;
    while (true) {
      SliceSpec spec;
      for (const std::int64_t size : view.shape) {
        if (random_.OneIn(5)) {
          spec.dimensions.emplace_back(Index{random_.Between(-size, size - 1)});
        } else {
          spec.dimensions.emplace_back(Range{random_.Between(-size, size), random_.Between(-size, size),
                                             random_.OneIn(2) ? 1 : random_.Between(1, 4)});
        }
      }
      const auto slice = test::SliceByBruteForce(spec, view.dtype, view.shape);
      if (!slice) continue;
      const std::string whole = served_->Expected(name);
      DeviceRead read{.tensor = name, .slice = spec};
      for (const std::int64_t byte : slice->source_bytes) read.expected += whole[static_cast<std::size_t>(byte)];
      return read;
    }
  }

  std::vector<std::int64_t> Gaps() {
    std::vector<std::int64_t> gaps;
    for (int i = 0; i < 17; ++i) gaps.push_back(random_.OneIn(3) ? 0 : random_.Between(0, 70));
    return gaps;
  }

  void FetchAndCheck(const Client& client, std::vector<DeviceRead> wanted) {
    TF_ASSERT_OK_AND_ASSIGN(const DeviceReads reads, DeviceReads::Create(*device_, std::move(wanted), Gaps()));
    TF_ASSERT_OK(client.Fetch(test::ServedModel::kName, reads.reads()));
    TF_ASSERT_OK(reads.Check(*device_));
  }

  test::Random random_;
  std::optional<CudaDevice> device_;
  std::optional<test::ServedModel> served_;
};

TEST_F(DeviceFetchTest, EveryTensorArrivesAtAnyAlignmentOverAnyNumberOfConnections) {
  std::vector<DeviceRead> wanted;
  for (std::size_t i = 0; i < served_->model().tensor_count(); ++i) {
    wanted.push_back(Whole(std::string(served_->model().tensor(i).view.name)));
  }
  for (const int connections : {1, 2, 5}) {
    std::shuffle(wanted.begin(), wanted.end(), random_.generator());
    FetchAndCheck(served_->Connect(connections), wanted);
  }
}

TEST_F(DeviceFetchTest, EveryDtypeArrivesAloneAndInRandomSlicesAndPlans) {
  const Client client = served_->Connect(2);
  int slices = 0;
  for (const Dtype dtype : AllDtypes()) {
    const std::string name(DtypeName(dtype));
    FetchAndCheck(client, {Whole(name)});
    for (int i = 0; i < 5; ++i) {
      std::vector<DeviceRead> wanted;
      for (std::int64_t left = random_.Between(1, 8); left > 0; --left) wanted.push_back(RandomSliceOf(name));
      slices += static_cast<int>(wanted.size());
      FetchAndCheck(client, std::move(wanted));
    }
  }
  std::printf("%d random slices of %d dtypes\n", slices, kDtypeCount);
}

TEST_F(DeviceFetchTest, ThreadsShareTheStagingBuffers) {
  const Client client = served_->Connect(2);
  std::vector<std::vector<DeviceRead>> wanted(4);
  for (std::size_t i = 0; i < 200; ++i) wanted[i % 4].push_back(Whole("small." + std::to_string(random_.Below(1000))));
  wanted[0].push_back(Whole("large"));
  std::vector<absl::Status> results(4);
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (int round = 0; round < 5 && results[t].ok(); ++round) {
          auto reads = DeviceReads::Create(*device_, wanted[t], {3, 0, 1});
          results[t] = reads.status();
          if (reads.ok()) results[t] = client.Fetch(test::ServedModel::kName, reads->reads()).status();
          if (results[t].ok()) results[t] = reads->Check(*device_);
        }
      });
    }
  }
  for (const absl::Status& result : results) TF_EXPECT_OK(result);
}

TEST_F(DeviceFetchTest, RangeOfAFileArrives) {
  const Client client = served_->Connect();
  const std::string expected = served_->File().substr(1234, 100'000);
  TF_ASSERT_OK_AND_ASSIGN(const CudaMemory memory, device_->Allocate(100'000));
  const Destination into = device_->Span(memory.data(), memory.size_bytes());
  TF_ASSERT_OK(client.FetchFile(test::ServedModel::kName, test::ServedModel::kName, "", 1234, into));
  TF_ASSERT_OK_AND_ASSIGN(const std::string got, test::ReadBack(*device_, memory.data(), memory.size_bytes()));
  EXPECT_TRUE(got == expected);
}

TEST_F(DeviceFetchTest, WrongPointersAreRefused) {
  TF_ASSERT_OK_AND_ASSIGN(const CudaMemory memory, device_->Allocate(1000));
  auto* const bytes = static_cast<std::byte*>(memory.data());
  const auto open = [&](void* pointer, std::int64_t size_bytes, std::optional<CudaStream> stream = std::nullopt) {
    return test::OpenSink(device_->Span(pointer, size_bytes, stream));
  };
  TF_EXPECT_OK(open(bytes + 1, 999));
  TF_EXPECT_OK(open(nullptr, 0));
  std::string host(1000, '\0');
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_THAT(open(host.data(), 1000), test::StatusIs(kInvalid, ::testing::HasSubstr("is not device memory")));
  EXPECT_THAT(open(nullptr, 1), test::StatusIs(kInvalid));
  EXPECT_THAT(open(bytes, -1), test::StatusIs(kInvalid));
  // The driver may round the size of an allocation up, but not by this much.
  EXPECT_THAT(open(bytes, 1 << 30), test::StatusIs(kInvalid, ::testing::HasSubstr("1073741824 bytes requested at")));
  EXPECT_THAT(open(bytes, 1000, CudaStream{reinterpret_cast<void*>(2)}),
              test::StatusIs(kInvalid, ::testing::HasSubstr("per-thread")));
}

TEST_F(DeviceFetchTest, FetchesIntoWrongPointersAreRefused) {
  std::string host = served_->Expected("F32");
  const Read read{.tensor = "F32", .into = device_->Span(host.data(), static_cast<std::int64_t>(host.size()))};
  EXPECT_THAT(served_->Connect().Fetch(test::ServedModel::kName, {&read, 1}),
              test::StatusIs(absl::StatusCode::kInvalidArgument, ::testing::HasSubstr("is not device memory")));
}

TEST_F(DeviceFetchTest, WrongDevicesAndOptionsAreRefused) {
  EXPECT_THAT(CudaDevice::Open(-1), test::StatusIs(absl::StatusCode::kNotFound, ::testing::HasSubstr("cuda:-1")));
  EXPECT_THAT(CudaDevice::Open(999), test::StatusIs(absl::StatusCode::kNotFound, ::testing::HasSubstr("cuda:999")));
  EXPECT_THAT(CudaDevice::Open(0, {.staging_buffer_bytes = 100}), test::StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(CudaDevice::Open(0, {.staging_buffers = 1}), test::StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(device_->Allocate(std::int64_t{1} << 50),
              test::StatusIs(absl::StatusCode::kResourceExhausted, ::testing::HasSubstr("bytes are free")));
  EXPECT_THAT(device_->Allocate(-1), test::StatusIs(absl::StatusCode::kInvalidArgument));
}

}  // namespace
}  // namespace tensorferry
