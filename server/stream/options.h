// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_STREAM_OPTIONS_H_
#define TENSORFERRY_SERVER_STREAM_OPTIONS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace tensorferry::server {

// How streams read files: from a mapping, or into buffers.
enum class IoMode : char { kMmap, kPread };

// Limits of all streams of a server together, and of one of them; 0 is no limit.
struct StreamLimits {
  int max_streams = 1024;
  // Data of all streams that gRPC has not released.
  std::int64_t max_in_flight_bytes = std::int64_t{1} << 30;
  // Time in which a client must take a message.
  std::chrono::milliseconds stall_timeout = std::chrono::seconds(60);
  // Time in which a stream must end.
  std::chrono::milliseconds max_duration = std::chrono::hours(24);
};

struct StreamOptions {
  IoMode io = IoMode::kMmap;
  // Data in one message.
  std::size_t chunk_bytes = std::size_t{1} << 20;
  // Threads that read from disk and make messages.
  int workers = 16;
  StreamLimits limits;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_STREAM_OPTIONS_H_
