// SPDX-License-Identifier: Apache-2.0
//
// http_worker: downloads ranges of a file from an HTTP server, one request per range over persistent connections, on
// each command of suite.py.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "lib/sync/mutex.h"
#include "tests/benchmarks/http_download.h"
#include "tests/benchmarks/ranges.h"
#include "tests/benchmarks/worker.h"

namespace tensorferry::benchmarks {
namespace {

// Downloads the ranges one after the other over one connection.
std::string GetAll(HttpConnection& connection, const std::string& url, std::span<const Range> ranges,
                   std::span<std::byte> memory, std::vector<double>& latencies) {
  for (const Range& range : ranges) {
    const double start = Now();
    const absl::Status status = connection.Get(url, range.offset, memory.subspan(range.place, range.size_bytes));
    latencies.push_back(Now() - start);
    if (!status.ok()) return std::string(status.message());
  }
  return {};
}

int Main(int argc, char** argv) {
  std::string server;
  std::string url;
  std::string ranges_path;
  std::size_t connection_count = 1;
  CLI::App app("Download ranges of a file from an HTTP server for the benchmark suite.", "http_worker");
  app.add_option("--server", server, "Address of the HTTP server, host:port")->required();
  app.add_option("--url", url, "Path of the file")->required();
  app.add_option("--ranges", ranges_path, "File with the offset and size in bytes of a range on each line")->required();
  app.add_option("--connections", connection_count,
                 "Connections, each with its own thread and an equal part of the ranges")
      ->check(CLI::Range(1, 64));
  CLI11_PARSE(app, argc, argv);

  std::size_t total_bytes = 0;
  const std::vector<Range> ranges = ReadRanges(ranges_path, total_bytes);
  std::vector<HttpConnection> connections;
  for (std::size_t i = 0; i < connection_count; ++i) {
    auto connection = HttpConnection::Open(server);
    if (!connection.ok()) {
      fmt::print(stderr, "{}\n", std::string(connection.status().message()));
      return 1;
    }
    connections.push_back(*std::move(connection));
  }
  return ServeRuns(total_bytes, [&](std::span<std::byte> memory, std::vector<double>& latencies) {
    if (connections.size() == 1) return GetAll(connections[0], url, ranges, memory, latencies);
    Mutex mutex;
    std::string failed;
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < connections.size(); ++i) {
      const std::size_t begin = ranges.size() * i / connections.size();
      const std::size_t end = ranges.size() * (i + 1) / connections.size();
      threads.emplace_back([&, i, mine = std::span(ranges).subspan(begin, end - begin)] {
        std::vector<double> own;
        std::string error = GetAll(connections[i], url, mine, memory, own);
        const MutexLock lock(&mutex);
        latencies.insert(latencies.end(), own.begin(), own.end());
        if (!error.empty()) failed = std::move(error);
      });
    }
    threads.clear();
    return failed;
  });
}

}  // namespace
}  // namespace tensorferry::benchmarks

int main(int argc, char** argv) { return tensorferry::benchmarks::Main(argc, argv); }
