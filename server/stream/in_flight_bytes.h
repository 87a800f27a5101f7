// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_STREAM_IN_FLIGHT_BYTES_H_
#define TENSORFERRY_SERVER_STREAM_IN_FLIGHT_BYTES_H_

#include <atomic>
#include <cstdint>

namespace tensorferry::server {

// Counts the data of messages from the time they are made until gRPC releases them. That is the memory, in buffers and
// in mappings, that clients make the server hold. Safe for concurrent use by multiple threads.
class InFlightBytes {
 public:
  void Add(std::int64_t size_bytes) { bytes_.fetch_add(size_bytes, std::memory_order_relaxed); }
  void Remove(std::int64_t size_bytes) { bytes_.fetch_sub(size_bytes, std::memory_order_relaxed); }
  std::int64_t value() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> bytes_ = 0;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_STREAM_IN_FLIGHT_BYTES_H_
