// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda/device_fetch.h"

#include <fmt/format.h>

#include <cstddef>
#include <span>
#include <utility>

#include "tensorferry/quote.h"
#include "tests/testing/safetensors_bytes.h"

namespace tensorferry::test {
namespace {

constexpr char kUntouched = '\x5a';

absl::Status Fill(const CudaDevice& device, const CudaMemory& memory) {
  if (memory.size_bytes() == 0) return absl::OkStatus();
  auto destination = CudaDestination::Create(device, memory.data(), memory.size_bytes());
  if (!destination.ok()) return destination.status();
  const std::string bytes(static_cast<std::size_t>(memory.size_bytes()), kUntouched);
  absl::Status status = destination->Begin({});
  if (status.ok()) status = destination->Write(0, AsBytes(bytes));
  if (status.ok()) status = destination->Finish();
  if (!status.ok()) destination->Abandon(absl::Now() + absl::Seconds(1));
  return status;
}

}  // namespace

absl::StatusOr<DeviceReads> DeviceReads::Create(const CudaDevice& device, std::vector<DeviceRead> reads,
                                                const std::vector<std::int64_t>& gaps, bool filled) {
  std::vector<std::size_t> offsets;
  std::size_t size = 0;
  for (std::size_t i = 0; i < reads.size(); ++i) {
    size += static_cast<std::size_t>(gaps[i % gaps.size()]);
    offsets.push_back(size);
    size += reads[i].expected.size();
  }
  auto memory = device.Allocate(static_cast<std::int64_t>(size));
  if (!memory.ok()) return memory.status();
  if (filled) {
    if (absl::Status status = Fill(device, *memory); !status.ok()) return status;
  }
  DeviceReads made(std::move(reads), *std::move(memory));
  made.filled_ = filled;
  made.offsets_ = std::move(offsets);
  for (std::size_t i = 0; i < made.wanted_.size(); ++i) {
    const DeviceRead& wanted = made.wanted_[i];
    auto* const place = static_cast<std::byte*>(made.memory_.data()) + made.offsets_[i];
    auto destination =
        CudaDestination::Create(device, place, static_cast<std::int64_t>(wanted.expected.size()), wanted.stream);
    if (!destination.ok()) return destination.status();
    made.destinations_.push_back(*std::move(destination));
  }
  for (std::size_t i = 0; i < made.wanted_.size(); ++i) {
    made.fetched_.push_back({made.wanted_[i].tensor, made.wanted_[i].slice, &made.destinations_[i]});
  }
  return made;
}

absl::Status DeviceReads::Check(const CudaDevice& device) const {
  std::string got(static_cast<std::size_t>(memory_.size_bytes()), '\0');
  absl::Status status = device.CopyToHost(memory_.data(), std::as_writable_bytes(std::span(got)));
  std::string expected = filled_ ? std::string(got.size(), kUntouched) : got;
  for (std::size_t i = 0; i < wanted_.size(); ++i) {
    expected.replace(offsets_[i], wanted_[i].expected.size(), wanted_[i].expected);
  }
  if (!status.ok() || got == expected) return status;
  std::size_t wrong = 0;
  while (got[wrong] == expected[wrong]) ++wrong;
  for (std::size_t i = 0; i < wanted_.size(); ++i) {
    if (wrong < offsets_[i] || wrong - offsets_[i] >= wanted_[i].expected.size()) continue;
    return absl::DataLossError(
        fmt::format("byte {} of read {} ({}) is wrong", wrong - offsets_[i], i, Quote(wanted_[i].tensor)));
  }
  return absl::DataLossError(fmt::format("byte {}, which belongs to no read, was written", wrong));
}

}  // namespace tensorferry::test
