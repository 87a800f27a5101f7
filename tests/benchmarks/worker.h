// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_BENCHMARKS_WORKER_H_
#define TENSORFERRY_TESTS_BENCHMARKS_WORKER_H_

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace tensorferry::benchmarks {

// One run of a worker: fills `memory`, and returns an error or an empty string. A run of many requests adds the seconds
// of each to `latencies`.
using Run = std::function<std::string(std::span<std::byte> memory, std::vector<double>& latencies)>;

// Runs commands of suite.py. Each contender has its own process, so that allocators and CPU time do not mix. Reads
// commands from stdin and prints one line for each:
//   check   overwrites the memory, runs once, and prints the CRC-32C of the memory
//   run     runs once, and prints the seconds, CPU seconds, page faults and latencies
// Returns the exit code of the program, which is 1 after a failed run.
int ServeRuns(std::size_t memory_bytes, const Run& run);

// Returns the time of a monotonic clock in seconds.
double Now();

}  // namespace tensorferry::benchmarks

#endif  // TENSORFERRY_TESTS_BENCHMARKS_WORKER_H_
