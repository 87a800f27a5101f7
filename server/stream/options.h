// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_STREAM_OPTIONS_H_
#define TENSORFERRY_SERVER_STREAM_OPTIONS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace tensorferry::server {

// How files are read. kPreadCached is kPread of bytes in the page cache, and an error for others.
enum class IoMode : char { kMmap, kPread, kPreadCached };

// Limits of streams. 0 is no limit.
struct StreamLimits {
  int max_streams = 1024;
  // Data in messages that gRPC has not released, over all streams.
  std::int64_t max_in_flight_bytes = std::int64_t{1} << 30;
  // Time for a client to read one message.
  std::chrono::milliseconds stall_timeout = std::chrono::seconds(60);
  std::chrono::milliseconds max_duration = std::chrono::hours(24);
};

// Options of the streams of a server.
struct StreamOptions {
  IoMode io = IoMode::kMmap;
  // Data in one message.
  std::size_t chunk_bytes = std::size_t{1} << 20;
  // Threads that read from disk and prepare messages.
  int workers = 16;
  StreamLimits limits = {};
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_STREAM_OPTIONS_H_
