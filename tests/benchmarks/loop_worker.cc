// SPDX-License-Identifier: Apache-2.0
//
// loop_worker: one client of many. For each line "BEGIN END" on stdin, in seconds of a monotonic clock, fetches a
// tensor repeatedly until END. Prints the number of bytes that arrived between BEGIN and END.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "tensorferry/client.h"
#include "tests/benchmarks/worker.h"

namespace tensorferry::benchmarks {
namespace {

// Larger than a core's caches, and small enough for 64 clients.
constexpr std::size_t kRingBytes = 32 << 20;

// A sink of any size that writes to a ring of memory. Counts the bytes that arrive within a window of time.
class CountingRing final : public Sink {
 public:
  CountingRing(std::span<std::byte> memory, std::int64_t size_bytes) : ring_(memory), size_bytes_(size_bytes) {}

  void CountBetween(double begin, double end) {
    begin_ = begin;
    end_ = end;
    counted_bytes_ = 0;
  }
  std::int64_t counted_bytes() const { return counted_bytes_; }

  std::int64_t size_bytes() const override { return size_bytes_; }
  absl::Status Finish() override { return absl::OkStatus(); }
  absl::Status Write(std::int64_t offset, std::span<const std::byte> data) override {
    const auto size = static_cast<std::int64_t>(data.size());
    while (!data.empty()) {
      const std::span<std::byte> place = ring_.subspan(static_cast<std::size_t>(offset) % ring_.size());
      const std::size_t fits = std::min(data.size(), place.size());
      std::memcpy(place.data(), data.data(), fits);
      offset += static_cast<std::int64_t>(fits);
      data = data.subspan(fits);
    }
    const double now = Now();
    if (now >= begin_ && now < end_) counted_bytes_ += size;
    return absl::OkStatus();
  }

 private:
  const std::span<std::byte> ring_;
  const std::int64_t size_bytes_;
  double begin_ = 0;
  double end_ = 0;
  std::int64_t counted_bytes_ = 0;
};

int Fail(const absl::Status& status) {
  fmt::print(stderr, "loop_worker: {}\n", std::string(status.message()));
  return 1;
}

int Main(int argc, char** argv) {
  std::string server;
  std::string model;
  std::string tensor;
  CLI::App app("Fetch a tensor repeatedly for the benchmark suite.", "loop_worker");
  app.add_option("--server", server, "Address of the tensorferryd")->required();
  app.add_option("--model", model, "Name of the model")->required();
  app.add_option("--tensor", tensor, "Name of the tensor")->required();
  CLI11_PARSE(app, argc, argv);

  // One connection, because only one thread may write to the ring.
  const auto client = Client::Connect({server}, {.connections = 1});
  if (!client.ok()) return Fail(client.status());
  const auto info = client->GetTensorInfo(model, tensor);
  if (!info.ok()) return Fail(info.status());
  // Not zero, so that the pages are faulted in.
  std::vector<std::byte> memory(kRingBytes, std::byte{0xA5});
  CountingRing ring(memory, info->size_bytes);
  const Read read{.tensor = tensor, .into = &ring};
  double begin = 0;
  double end = 0;
  while (std::cin >> begin >> end) {
    ring.CountBetween(begin, end);
    for (double left = end - Now(); left > 0; left = end - Now()) {
      FetchOptions options;
      options.timeout = absl::Seconds(left);
      const absl::Status status = client->Fetch(model, std::span(&read, 1), options).status();
      if (!status.ok() && !absl::IsDeadlineExceeded(status)) return Fail(status);
    }
    fmt::print("{}\n", ring.counted_bytes());
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace tensorferry::benchmarks

int main(int argc, char** argv) {
  // The settings of the programs that we ship.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return tensorferry::benchmarks::Main(argc, argv);
}
