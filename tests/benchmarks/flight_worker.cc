// SPDX-License-Identifier: Apache-2.0
//
// flight_worker PORT RANGES: reads ranges from flight_server into its own memory, one call per range, on each command
// of suite.py. RANGES is a file with the offset and the size in bytes of a range on each line.
#include <arrow/api.h>
#include <arrow/flight/api.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/benchmarks/ranges.h"
#include "tests/benchmarks/worker.h"

namespace {

using tensorferry::benchmarks::Range;

arrow::Status Get(arrow::flight::FlightClient& client, const Range& range, std::span<std::byte> memory) {
  const arrow::flight::Ticket ticket{std::to_string(range.offset) + ' ' + std::to_string(range.size_bytes)};
  ARROW_ASSIGN_OR_RAISE(const auto stream, client.DoGet(ticket));
  while (true) {
    ARROW_ASSIGN_OR_RAISE(const arrow::flight::FlightStreamChunk chunk, stream->Next());
    if (chunk.data == nullptr) break;
    const auto size = static_cast<std::size_t>(chunk.data->num_rows());
    if (size > memory.size()) return arrow::Status::Invalid("the server sent more bytes than requested");
    std::memcpy(memory.data(), chunk.data->column_data(0)->GetValues<std::byte>(1), size);
    memory = memory.subspan(size);
  }
  return memory.empty() ? arrow::Status::OK() : arrow::Status::Invalid("the server sent fewer bytes than requested");
}

arrow::Result<std::unique_ptr<arrow::flight::FlightClient>> Connect(int port) {
  ARROW_ASSIGN_OR_RAISE(const auto location, arrow::flight::Location::ForGrpcTcp("127.0.0.1", port));
  return arrow::flight::FlightClient::Connect(location);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: flight_worker PORT RANGES\n", stderr);
    return 2;
  }
  const auto client = Connect(std::stoi(argv[1]));
  if (!client.ok()) {
    std::fprintf(stderr, "flight_worker: %s\n", client.status().ToString().c_str());
    return 1;
  }
  std::size_t total_bytes = 0;
  const std::vector<Range> ranges = tensorferry::benchmarks::ReadRanges(argv[2], total_bytes);
  using tensorferry::benchmarks::Now;
  return tensorferry::benchmarks::ServeRuns(
      total_bytes, [&](std::span<std::byte> memory, std::vector<double>& latencies) -> std::string {
        for (const Range& range : ranges) {
          const double start = Now();
          const arrow::Status status = Get(**client, range, memory.subspan(range.place, range.size_bytes));
          latencies.push_back(Now() - start);
          if (!status.ok()) return status.ToString();
        }
        return {};
      });
}
