// SPDX-License-Identifier: Apache-2.0
#include "tests/client/cuda/device_fetch.h"

#include <fmt/format.h>

#include <cstddef>
#include <utility>

#include "lib/text/quote.h"
#include "tests/client/cuda/device_memory.h"

namespace tensorferry::test {
namespace {

constexpr char kUntouched = '\x5a';

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
    const absl::Status status = Fill(device.Span(memory->data(), memory->size_bytes()), std::string(size, kUntouched));
    if (!status.ok()) return status;
  }
  DeviceReads made(std::move(reads), *std::move(memory));
  made.filled_ = filled;
  made.offsets_ = std::move(offsets);
  for (std::size_t i = 0; i < made.wanted_.size(); ++i) {
    const DeviceRead& wanted = made.wanted_[i];
    auto* const place = static_cast<std::byte*>(made.memory_.data()) + made.offsets_[i];
    const Destination into = device.Span(place, static_cast<std::int64_t>(wanted.expected.size()), wanted.stream);
    made.fetched_.push_back({.tensor = wanted.tensor, .slice = wanted.slice, .into = into});
  }
  return made;
}

absl::Status DeviceReads::Check(const CudaDevice& device) const {
  const absl::StatusOr<std::string> read_back = ReadBack(device, memory_.data(), memory_.size_bytes());
  if (!read_back.ok()) return read_back.status();
  const std::string& got = *read_back;
  std::string expected = filled_ ? std::string(got.size(), kUntouched) : got;
  for (std::size_t i = 0; i < wanted_.size(); ++i) {
    expected.replace(offsets_[i], wanted_[i].expected.size(), wanted_[i].expected);
  }
  if (got == expected) return absl::OkStatus();
  std::size_t wrong = 0;
  while (got[wrong] == expected[wrong]) ++wrong;
  for (std::size_t i = 0; i < wanted_.size(); ++i) {
    if (wrong < offsets_[i] || wrong - offsets_[i] >= wanted_[i].expected.size()) continue;
    return absl::DataLossError(
        fmt::format("byte {} of read {} ({}) is wrong", wrong - offsets_[i], i, Quote(wanted_[i].tensor)));
  }
  return absl::DataLossError(fmt::format("byte {}, which is in no read, was written", wrong));
}

}  // namespace tensorferry::test
