// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_OUTPUT_STREAM_SINK_H_
#define TENSORFERRY_CLIENT_CLI_OUTPUT_STREAM_SINK_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "tensorferry/destination.h"

namespace tensorferry::cli {

// A sink that writes to a pipe, a terminal or a device. It accepts bytes in order only, as a fetch over one connection
// delivers them, and skips repeated bytes. Does not own the descriptor.
class StreamSink final : public Sink {
 public:
  StreamSink(int fd, std::string name, std::int64_t size_bytes)
      : fd_(fd), name_(std::move(name)), size_bytes_(size_bytes) {}

  std::int64_t size_bytes() const override { return size_bytes_; }
  absl::Status Write(std::int64_t offset, std::span<const std::byte> data) override;
  absl::Status Finish() override { return absl::OkStatus(); }

 private:
  int fd_;
  std::string name_;
  std::int64_t size_bytes_;
  std::int64_t position_ = 0;
};

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_OUTPUT_STREAM_SINK_H_
