// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_BENCHMARKS_ECHO_H_
#define TENSORFERRY_TESTS_BENCHMARKS_ECHO_H_

#include <cstdint>

namespace tensorferry::benchmarks {

// The request of echo_worker to echo_server. The message is this struct as it is in memory; the response is the bytes.
struct EchoRequest {
  std::int64_t offset = 0;
  std::int64_t size_bytes = 0;
};

// Responds with one message and the status together, like a unary call.
inline constexpr char kUnaryEcho[] = "/tensorferry.benchmarks.Echo/Unary";
// Responds with a stream of messages of up to kMessageBytes, and with the status after the last.
inline constexpr char kStreamEcho[] = "/tensorferry.benchmarks.Echo/Stream";
inline constexpr int kMessageBytes = 1 << 20;
// The largest frame that the worker accepts. As in our client, a message fits into one frame.
inline constexpr int kFrameBytes = 4 * kMessageBytes;

}  // namespace tensorferry::benchmarks

#endif  // TENSORFERRY_TESTS_BENCHMARKS_ECHO_H_
