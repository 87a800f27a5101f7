// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_TESTS_BENCHMARKS_WORKER_H_
#define TENSORFERRY_TESTS_BENCHMARKS_WORKER_H_

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace tensorferry::benchmarks {

// What one run of a worker does: fills `memory` and returns what went wrong, or nothing. If the run is made of many
// requests it adds to `latencies` how many seconds each took.
using Run = std::function<std::string(std::span<std::byte> memory, std::vector<double>& latencies)>;

// Lets suite.py drive a contender that has a process of its own, so that neither allocators nor CPU time mix. Reads
// commands from stdin and answers each with a line on stdout: "check" runs once over memory filled with something else
// and answers with the memory's CRC-32C; "run" answers with the seconds, CPU seconds and page faults that a run took,
// and its latencies. Returns the exit code of the program: 1 after a run that failed.
int ServeRuns(std::size_t memory_bytes, const Run& run);

// The whole seconds and fractions of a monotonic clock.
double Now();

}  // namespace tensorferry::benchmarks

#endif  // TENSORFERRY_TESTS_BENCHMARKS_WORKER_H_
