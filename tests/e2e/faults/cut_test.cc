// SPDX-License-Identifier: Apache-2.0
// Fetches over connections that break after any number of bytes, against our server in the same process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/sync/mutex.h"
#include "server/server.h"
#include "tensorferry/client.h"
#include "tests/testing/cutting_proxy.h"
#include "tests/testing/random.h"
#include "tests/testing/safetensors_bytes.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tensorferry {
namespace {

using test::CuttingProxy;
using test::StatusIs;
using Fate = CuttingProxy::Fate;
using How = CuttingProxy::How;

constexpr std::int64_t kChunkBytes = 4096;
constexpr std::int64_t kLargeBytes = 10'000'019;
constexpr int kSmallTensors = 300;
// The bytes of each connection before the first data: HTTP/2, gRPC and our header.
constexpr std::int64_t kConnectionOverheadBytes = 1500;

bool IsSanitized() { return std::getenv("TENSORFERRY_SANITIZED") != nullptr; }

class CutTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::vector<test::TensorSpec> tensors = {{"large", Dtype::kU8, {kLargeBytes}}};
    std::int64_t size = kLargeBytes;
    for (int i = 0; i < kSmallTensors; ++i) {
      tensors.push_back({"s" + std::to_string(i), Dtype::kU8, {i}});
      size += i;
    }
    for (std::int64_t i = 0; i < size; i += 8) {
      const std::uint64_t value = random_.generator()();
      data_.append(reinterpret_cast<const char*>(&value), 8);
    }
    data_.resize(static_cast<std::size_t>(size));
    file_ = test::SafetensorsBytes(test::HeaderJson(tensors), data_);
    directory_.Write("m.safetensors", file_);
    TF_ASSERT_OK_AND_ASSIGN(const auto catalog, Catalog::Load(directory_.path()));
    server::ServerOptions options;
    options.listen = "127.0.0.1:0";
    options.stream.chunk_bytes = kChunkBytes;
    TF_ASSERT_OK_AND_ASSIGN(server_, server::Server::Start(options, catalog));
  }

  std::string_view Large() const { return std::string_view(data_).substr(0, kLargeBytes); }
  std::string_view Small(std::size_t i) const {
    return std::string_view(data_).substr(kLargeBytes + i * (i - 1) / 2, i);
  }

  // Connections fail often, so the budget for retries is large.
  static Client Connect(const CuttingProxy& proxy, int connections = 1) {
    const RetryOptions retry{.max_attempts = 200, .initial_delay = absl::ZeroDuration()};
    while (true) {
      absl::StatusOr<Client> client = Client::Connect({proxy.address()}, {.connections = connections, .retry = retry});
      if (client.ok()) return *std::move(client);
      EXPECT_TRUE(absl::IsUnavailable(client.status())) << client.status();
    }
  }

  // Returns a fate for every connection: `how`, after a random number of bytes up to `most`.
  CuttingProxy::ChooseFate Always(How how, std::int64_t most) {
    return [this, how, most](int) {
      const MutexLock lock(&mutex_);
      return Fate{random_.Between(0, most), how};
    };
  }

  test::Random random_;
  Mutex mutex_;  // guards random_: the proxy calls from several threads
  test::TempDir directory_;
  std::string data_;
  std::string file_;
  std::unique_ptr<server::Server> server_;
};

TEST_F(CutTest, EachOfAThousandCutsCostsAtMostOneChunk) {
  const int cuts = IsSanitized() ? 150 : 1000;
  CuttingProxy proxy(server_->address(), Always(How::kClose, 60'000));
  const Client client = Connect(proxy);
  std::string memory(file_.size(), '\0');
  std::int64_t fetched = 0;
  for (int round = 0; proxy.faults() < cuts; ++round) {
    if (round % 2 == 0) {
      TF_ASSERT_OK_AND_ASSIGN(const Tensor tensor, client.FetchTensor("m.safetensors", "large"));
      ASSERT_TRUE(test::AsString(tensor.data()) == Large());
      fetched += kLargeBytes;
    } else {
      std::ranges::fill(memory, '\0');
      TF_ASSERT_OK(client.FetchFile("m.safetensors", "m.safetensors", "", 0, memory));
      ASSERT_TRUE(memory == file_);
      fetched += static_cast<std::int64_t>(file_.size());
    }
  }
  // Including the head and frames of every chunk.
  const std::int64_t useful = fetched + fetched / 40;
  EXPECT_LE(proxy.passed_bytes(), useful + (proxy.faults() + 1) * (kChunkBytes + kConnectionOverheadBytes));
  std::printf("%d cuts, %ld bytes fetched, %ld passed\n", proxy.faults(), static_cast<long>(fetched),
              static_cast<long>(proxy.passed_bytes()));
}

TEST_F(CutTest, ResetsOnSeveralConnectionsLeaveEveryTensorRight) {
  const int cuts = IsSanitized() ? 50 : 300;
  CuttingProxy proxy(server_->address(), Always(How::kReset, 200'000));
  const Client client = Connect(proxy, 3);
  while (proxy.faults() < cuts) {
    std::deque<std::string> memory;
    std::vector<Read> reads;
    const auto add = [&](std::string name, std::size_t size) {
      memory.emplace_back(size, '\0');
      reads.push_back({.tensor = std::move(name), .into = memory.back()});
    };
    for (std::size_t i = 0; i < kSmallTensors; ++i) add("s" + std::to_string(i), i);
    add("large", kLargeBytes);
    std::int64_t last = 0;
    FetchOptions options;
    options.on_progress = [&](const Progress& progress) {
      EXPECT_GE(progress.bytes_done, last);
      EXPECT_LE(progress.bytes_done, progress.bytes_total);
      last = progress.bytes_done;
    };
    TF_ASSERT_OK(client.Fetch("m.safetensors", reads, options));
    EXPECT_EQ(last, static_cast<std::int64_t>(data_.size()));
    for (std::size_t i = 0; i < kSmallTensors; ++i) ASSERT_EQ(memory[i], Small(i)) << i;
    ASSERT_TRUE(memory.back() == Large());
  }
}

TEST_F(CutTest, FlippedBitsGiveTheRightBytesOrAnError) {
  CuttingProxy proxy(server_->address(), Always(How::kFlip, 100'000));
  FetchOptions options;
  // With a flipped length, one end waits for bytes that never arrive.
  options.timeout = absl::Milliseconds(IsSanitized() ? 3000 : 500);
  int right = 0;
  for (int i = 0; i < 60; ++i) {
    // The flip may be in the response to Connect.
    const absl::StatusOr<Client> client = Client::Connect(
        {proxy.address()},
        {.connect_timeout = options.timeout, .connections = 1, .retry = {.initial_delay = absl::ZeroDuration()}});
    if (!client.ok()) continue;
    std::string memory(300'000, '\0');
    const absl::Time begin = absl::Now();
    const absl::Status status = client->FetchFile("m.safetensors", "m.safetensors", "", 1000, memory, options);
    EXPECT_LT(absl::Now() - begin, options.timeout + absl::Seconds(2));
    if (!status.ok()) continue;
    ++right;
    ASSERT_TRUE(memory == file_.substr(1000, memory.size()));
  }
  EXPECT_GT(right, 20);
}

TEST_F(CutTest, StallEndsAtTheDeadline) {
  std::atomic<int> stalls = 0;
  CuttingProxy proxy(server_->address(), [&](int) { return Fate{50'000 * ++stalls, How::kStall}; });
  const Client client = Connect(proxy);
  FetchOptions options;
  options.timeout = absl::Milliseconds(300);
  const absl::Time begin = absl::Now();
  EXPECT_THAT(client.FetchTensor("m.safetensors", "large", std::nullopt, options),
              StatusIs(absl::StatusCode::kDeadlineExceeded));
  EXPECT_LT(absl::Now() - begin, absl::Milliseconds(2300));
}

TEST_F(CutTest, PlanOfAHundredThousandReadsIsResumed) {
  constexpr std::size_t kReads = 100'000;
  constexpr int kCuts = 4;
  // The descriptions of all reads, some MB, precede the data.
  CuttingProxy proxy(server_->address(), [this](int connection) -> std::optional<Fate> {
    const MutexLock lock(&mutex_);
    if (connection >= kCuts) return std::nullopt;
    return Fate{random_.Between(4 << 20, 6 << 20), How::kClose};
  });
  const Client client = Connect(proxy);
  std::string memory;
  memory.resize(kReads * kSmallTensors);
  std::vector<Read> reads;
  std::size_t position = 0;
  for (std::size_t i = 0; i < kReads; ++i) {
    const std::size_t tensor = i % kSmallTensors;
    reads.push_back({.tensor = "s" + std::to_string(tensor), .into = std::span(memory).subspan(position, tensor)});
    position += tensor;
  }
  TF_ASSERT_OK(client.Fetch("m.safetensors", reads));
  EXPECT_GT(proxy.faults(), 1);
  position = 0;
  for (std::size_t i = 0; i < kReads; ++i) {
    const std::size_t tensor = i % kSmallTensors;
    ASSERT_EQ(std::string_view(memory).substr(position, tensor), Small(tensor)) << i;
    position += tensor;
  }
}

TEST_F(CutTest, UnaryCallsAreRetried) {
  CuttingProxy proxy(server_->address(), [this](int connection) -> std::optional<Fate> {
    const MutexLock lock(&mutex_);
    if (connection % 4 == 3) return std::nullopt;
    return Fate{random_.Between(0, 2000), random_.OneIn(2) ? How::kClose : How::kReset};
  });
  for (int i = 0; i < 20; ++i) {
    const Client client = Connect(proxy);
    TF_ASSERT_OK_AND_ASSIGN(const auto models, client.ListModels());
    EXPECT_EQ(models.size(), 2U);
    TF_ASSERT_OK_AND_ASSIGN(const auto tensors, client.ListTensors("m.safetensors"));
    EXPECT_EQ(tensors.size(), kSmallTensors + 1U);
    TF_ASSERT_OK_AND_ASSIGN(const ModelMetadata metadata, client.GetMetadata("m.safetensors"));
    EXPECT_EQ(metadata.files.size(), 1U);
  }
  EXPECT_GT(proxy.faults(), 20);
}

}  // namespace
}  // namespace tensorferry
