// SPDX-License-Identifier: Apache-2.0
#include "client/cli/address_space.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <fstream>

#include "client/cli/human.h"

namespace tensorferry::cli {
namespace {

// Found out by trying: what the program itself takes for its work, and a connection with its buffers.
constexpr std::int64_t kOwnBytes = 16 << 20;
constexpr std::int64_t kConnectionBytes = 16 << 20;

std::int64_t StackBytes() {
  pthread_attr_t attributes;
  std::size_t bytes = 0;
  pthread_attr_init(&attributes);
  pthread_attr_getstacksize(&attributes, &bytes);
  pthread_attr_destroy(&attributes);
  return static_cast<std::int64_t>(bytes);
}

// gRPC has a thread for every two cores that waits for answers, 2 at least and 16 at most, and some for timers, names
// and what else there is.
std::int64_t ThreadCount() { return std::clamp<long>(::sysconf(_SC_NPROCESSORS_CONF) / 2, 2, 16) + 6; }

std::int64_t MappedBytes() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t pages = 0;
  statm >> pages;
  return pages * ::sysconf(_SC_PAGESIZE);
}

absl::Status CheckRoom(std::int64_t needed_bytes) {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return absl::OkStatus();
  const auto limit_bytes = static_cast<std::int64_t>(limit.rlim_cur);
  const std::int64_t left_bytes = std::max<std::int64_t>(limit_bytes - MappedBytes(), 0);
  if (needed_bytes <= left_bytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      fmt::format("of the address space that it may have (ulimit -v), {}, {} are left and {} are needed",
                  HumanSize(limit_bytes), HumanSize(left_bytes), HumanSize(needed_bytes)));
}

}  // namespace

absl::Status CheckRoomToConnect(int connections) { return CheckRoomFor(ThreadCount() * StackBytes(), connections); }

absl::Status CheckRoomFor(std::int64_t size_bytes, int connections) {
  return CheckRoom(size_bytes + kOwnBytes + std::max(connections, 1) * kConnectionBytes);
}

}  // namespace tensorferry::cli
