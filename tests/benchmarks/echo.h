// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_BENCHMARKS_ECHO_H_
#define TENSORFERRY_TESTS_BENCHMARKS_ECHO_H_

#include <cstdint>

namespace tensorferry::benchmarks {

// What echo_worker asks echo_server for: the message is this, as it is in memory, and so is the answer the bytes.
struct EchoRequest {
  std::int64_t offset = 0;
  std::int64_t size_bytes = 0;
};

// One message and the status at once, as a unary call is answered.
inline constexpr char kUnaryEcho[] = "/tensorferry.benchmarks.Echo/Unary";
// A stream of messages of up to this size, and the status when the last is written.
inline constexpr char kStreamEcho[] = "/tensorferry.benchmarks.Echo/Stream";
inline constexpr int kMessageBytes = 1 << 20;
// What the worker takes, as our client does: a frame for each message.
inline constexpr int kFrameBytes = 4 * kMessageBytes;

}  // namespace tensorferry::benchmarks

#endif  // TENSORFERRY_TESTS_BENCHMARKS_ECHO_H_
