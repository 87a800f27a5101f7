// SPDX-License-Identifier: Apache-2.0
//
// fetch_worker: fetches reads from a tensorferryd, as one plan or one after the other, on each command of suite.py.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <fstream>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "tensorferry/client.h"
#include "tests/benchmarks/worker.h"

namespace tensorferry::benchmarks {
namespace {

struct Line {
  std::string tensor;
  std::string slice;
  std::size_t size_bytes = 0;
};

std::vector<Line> ReadLines(const std::string& path, std::size_t& total_bytes) {
  std::vector<Line> lines;
  std::ifstream file(path);
  for (std::string text; std::getline(file, text);) {
    std::istringstream fields(text);
    Line line;
    std::getline(fields, line.tensor, '\t');
    std::getline(fields, line.slice, '\t');
    fields >> line.size_bytes;
    total_bytes += line.size_bytes;
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string TextOf(const absl::Status& status) { return status.ok() ? std::string() : std::string(status.message()); }

int Main(int argc, char** argv) {
  std::string server;
  std::string model;
  std::string reads_path;
  ClientOptions options;
  std::string tls_ca;
  bool each = false;
  CLI::App app("Fetch from a tensorferryd for the benchmark suite.", "fetch_worker");
  app.add_option("--server", server, "Address of the tensorferryd")->required();
  app.add_option("--model", model, "Name of the model")->required();
  app.add_option("--reads", reads_path,
                 "File with tensor, slice and result size in bytes on each line, separated by tabs")
      ->required();
  app.add_option("--connections", options.connections, "Connections to the server (0: automatic)");
  app.add_option("--tls-ca", tls_ca, "Use TLS and trust the authorities in this PEM file (default: plaintext)");
  app.add_flag("--each", each, "Use one call per read instead of one for all");
  CLI11_PARSE(app, argc, argv);

  std::size_t total_bytes = 0;
  const std::vector<Line> lines = ReadLines(reads_path, total_bytes);
  if (!tls_ca.empty()) options.tls = TlsOptions{.ca_file = tls_ca};
  const auto client = Client::Connect({server}, options);
  if (!client.ok()) {
    fmt::print(stderr, "{}\n", std::string(client.status().message()));
    return 1;
  }
  std::vector<Read> reads;
  reads.reserve(lines.size());
  return ServeRuns(total_bytes, [&](std::span<std::byte> memory, std::vector<double>& latencies) -> std::string {
    // The memory is the same in every run. The reads are therefore created once, as in the other workers.
    for (const Line& line : std::span(lines).subspan(reads.size())) {
      Read read{.tensor = line.tensor, .into = memory.first(line.size_bytes)};
      memory = memory.subspan(line.size_bytes);
      if (!line.slice.empty()) {
        absl::StatusOr<SliceSpec> slice = SliceSpec::Parse(line.slice);
        if (!slice.ok()) return TextOf(slice.status());
        read.slice = *std::move(slice);
      }
      reads.push_back(std::move(read));
    }
    if (!each) return TextOf(client->Fetch(model, reads).status());
    for (const Read& read : reads) {
      const double start = Now();
      const absl::Status status = client->Fetch(model, std::span(&read, 1)).status();
      latencies.push_back(Now() - start);
      if (!status.ok()) return TextOf(status);
    }
    return {};
  });
}

}  // namespace
}  // namespace tensorferry::benchmarks

int main(int argc, char** argv) {
  // The settings of the programs that we ship.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return tensorferry::benchmarks::Main(argc, argv);
}
