// SPDX-License-Identifier: Apache-2.0
#include "client/cli/device_round_trip.h"

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include "lib/checksum/crc32c.h"

namespace tensorferry::cli {
namespace {

// Passes everything on to device memory, and remembers checksums of what passed.
class RememberedDestination final : public Destination {
 public:
  explicit RememberedDestination(CudaDestination destination) : destination_(std::move(destination)) {}

  std::int64_t size_bytes() const override { return destination_.size_bytes(); }
  absl::Status Begin(const FetchLimits& limits) override {
    limits_ = limits;
    return destination_.Begin(limits);
  }
  absl::Status Write(std::int64_t offset, std::span<const std::byte> data) override {
    return WriteAll(offset, {&data, 1});
  }
  absl::Status WriteAll(std::int64_t offset, std::span<const std::span<const std::byte>> pieces) override {
    Run run{.begin = static_cast<std::size_t>(offset)};
    for (const std::span<const std::byte> piece : pieces) {
      run.crc = Crc32c(piece, run.crc);
      run.size += piece.size();
    }
    {
      const std::lock_guard lock(mutex_);
      runs_.push_back(run);
    }
    return destination_.WriteAll(offset, pieces);
  }
  absl::Status Finish() override { return destination_.Finish(); }
  void Abandon(absl::Time until) override { destination_.Abandon(until); }

  // Those of the fetch that filled it.
  const FetchLimits& limits() const { return limits_; }

  // Whether `data` is what passed. To be called after the fetch.
  absl::Status Check(std::span<const std::byte> data) const {
    for (const Run& run : runs_) {
      if (Crc32c(data.subspan(run.begin, run.size)) == run.crc) continue;
      return absl::DataLossError(fmt::format("bytes [{}, {}) did not come back from the device as they went there",
                                             run.begin, run.begin + run.size));
    }
    return absl::OkStatus();
  }

 private:
  struct Run {
    std::size_t begin = 0;
    std::size_t size = 0;
    std::uint32_t crc = 0;
  };

  CudaDestination destination_;
  FetchLimits limits_;
  std::mutex mutex_;  // guards what follows
  std::vector<Run> runs_;
};

}  // namespace

absl::StatusOr<Tensor> FetchByWayOf(const CudaDevice& device, const Client& client, const std::string& model,
                                    const std::string& tensor, const std::optional<SliceSpec>& slice,
                                    std::int64_t size_bytes, const FetchOptions& options) {
  const auto memory = device.Allocate(size_bytes);
  if (!memory.ok()) return memory.status();
  auto in_memory = CudaDestination::Create(device, memory->data(), size_bytes);
  if (!in_memory.ok()) return in_memory.status();
  RememberedDestination destination(*std::move(in_memory));
  const std::array reads = {Read{tensor, slice, &destination}};
  auto fetched = client.Fetch(model, reads, options);
  if (!fetched.ok()) return fetched.status();

  auto data = std::make_unique_for_overwrite<std::byte[]>(static_cast<std::size_t>(size_bytes));
  const std::span<std::byte> bytes(data.get(), static_cast<std::size_t>(size_bytes));
  const FetchLimits limits{.deadline = destination.limits().deadline, .stop_token = options.stop_token};
  absl::Status status = device.CopyToHost(memory->data(), bytes, limits);
  if (status.ok()) status = destination.Check(bytes);
  if (!status.ok()) return status;
  return Tensor(std::move(fetched->reads.front()), std::move(data));
}

}  // namespace tensorferry::cli
