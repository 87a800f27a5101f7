// SPDX-License-Identifier: Apache-2.0
#include "tests/benchmarks/worker.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string_view>

#include "lib/checksum/crc32c.h"

namespace tensorferry::benchmarks {
namespace {

struct Usage {
  double cpu_seconds = 0;
  long faults = 0;
};

Usage OwnUsage() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return {seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_minflt + usage.ru_majflt};
}

// Allocates memory and touches its pages. Otherwise a run would measure the kernel's page faults.
std::span<std::byte> AllocateTouched(std::size_t size) {
  if (size == 0) return {};
  void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return {};
  std::memset(memory, 0xA5, size);
  return {static_cast<std::byte*>(memory), size};
}

std::string Check(std::span<std::byte> memory, const Run& run) {
  if (!memory.empty()) std::memset(memory.data(), 0xA5, memory.size());
  std::vector<double> latencies;
  const std::string error = run(memory, latencies);
  if (error.empty()) std::printf("%08x\n", Crc32c(memory));
  return error;
}

std::string Measure(std::span<std::byte> memory, const Run& run) {
  std::vector<double> latencies;
  const Usage before = OwnUsage();
  const double start = Now();
  const std::string error = run(memory, latencies);
  const double seconds = Now() - start;
  const Usage after = OwnUsage();
  if (!error.empty()) return error;
  std::printf("%.9f %.6f %ld", seconds, after.cpu_seconds - before.cpu_seconds, after.faults - before.faults);
  for (const double latency : latencies) std::printf(" %.9f", latency);
  std::printf("\n");
  return {};
}

}  // namespace

int ServeRuns(std::size_t memory_bytes, const Run& run) {
  const std::span<std::byte> memory = AllocateTouched(memory_bytes);
  if (memory.size() != memory_bytes) {
    std::fprintf(stderr, "cannot allocate %zu bytes\n", memory_bytes);
    return 1;
  }
  std::string command;
  while (std::getline(std::cin, command)) {
    const std::string error = command == "check" ? Check(memory, run) : Measure(memory, run);
    if (!error.empty()) {
      std::fprintf(stderr, "%s\n", error.c_str());
      return 1;
    }
    std::fflush(stdout);
  }
  return 0;
}

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace tensorferry::benchmarks
