// SPDX-License-Identifier: Apache-2.0
#include "client/cli/output/stream_sink.h"

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "client/cli/output/terminal.h"

namespace tensorferry::cli {

absl::Status StreamSink::Write(std::int64_t offset, std::span<const std::byte> data) {
  if (offset > position_) {
    return absl::InternalError(fmt::format("byte {} arrived before byte {}", offset, position_));
  }
  const std::int64_t repeated = position_ - offset;
  if (repeated >= static_cast<std::int64_t>(data.size())) return absl::OkStatus();
  const std::span<const std::byte> rest = data.subspan(static_cast<std::size_t>(repeated));
  position_ += static_cast<std::int64_t>(rest.size());
  return WriteToStream(fd_, rest, name_);
}

}  // namespace tensorferry::cli
