// SPDX-License-Identifier: Apache-2.0
//
// throughput_benchmark: lands one tensor in memory of the caller's, in turns from tensorferryd and from an HTTP server
// that sends the same bytes of the same file, and compares rates and CPU time. tests/benchmarks/run.sh runs it.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tensorferry/client.h"
#include "tensorferry/files/file_io.h"
#include "tensorferry/files/unique_fd.h"
#include "tests/benchmarks/http_download.h"

namespace tensorferry::benchmarks {
namespace {

struct Options {
  std::string server;
  std::string model;
  std::string tensor;
  int connections = 1;
  std::string nginx;
  std::string url;
  std::string file;
  std::int64_t offset = -1;
  int rounds = 9;
  std::vector<int> server_pids;
  std::vector<int> nginx_pids;
  double required_ratio = 0;
};

// One of the two that are compared.
struct Contender {
  std::string name;
  std::vector<int> server_pids;
  std::function<absl::Status(std::span<std::byte>)> fetch;
  std::vector<double> seconds = {};
  double client_cpu_seconds = 0;
  double server_cpu_seconds = 0;
};

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

double OwnCpuSeconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
}

// The CPU time of other processes, all of their threads; in steps of a clock tick.
absl::StatusOr<double> CpuSeconds(const std::vector<int>& pids) {
  double ticks = 0;
  for (const int pid : pids) {
    std::ifstream stat(fmt::format("/proc/{}/stat", pid));
    std::string line;
    std::getline(stat, line);
    // The name, in parentheses, may hold anything. utime and stime are fields 14 and 15, the name is field 2.
    const std::size_t name_end = line.rfind(')');
    if (name_end == std::string::npos) return absl::NotFoundError(fmt::format("there is no process {}", pid));
    std::istringstream fields(line.substr(name_end + 1));
    std::string field;
    for (int i = 3; i < 14; ++i) fields >> field;
    double user = 0;
    double system = 0;
    fields >> user >> system;
    ticks += user + system;
  }
  return ticks / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

// Memory whose pages are there.
absl::StatusOr<std::span<std::byte>> AllocateTouched(std::size_t size) {
  void* const memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return absl::ResourceExhaustedError(fmt::format("cannot allocate {} bytes", size));
  std::memset(memory, 0xA5, size);
  return std::span(static_cast<std::byte*>(memory), size);
}

absl::Status CompareWithFile(const Options& options, std::span<const std::byte> memory) {
  const UniqueFd fd(::open(options.file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.ok()) return ErrnoStatus(errno, "cannot open", options.file);
  std::vector<std::byte> expected(std::size_t{1} << 20);
  for (std::size_t done = 0; done < memory.size();) {
    const auto piece = std::span(expected).first(std::min(expected.size(), memory.size() - done));
    const auto offset = options.offset + static_cast<std::int64_t>(done);
    if (absl::Status status = ReadExactly(fd.get(), offset, piece, options.file); !status.ok()) return status;
    if (std::memcmp(piece.data(), memory.data() + done, piece.size()) != 0) {
      return absl::DataLossError(fmt::format("the bytes from {} on are not those of the file", offset));
    }
    done += piece.size();
  }
  return absl::OkStatus();
}

// Fetches once, untimed, and compares what came.
absl::Status Verify(const Options& options, const Contender& contender, std::span<std::byte> memory) {
  std::memset(memory.data(), 0xA5, memory.size());
  if (absl::Status status = contender.fetch(memory); !status.ok()) return status;
  return CompareWithFile(options, memory);
}

absl::Status Measure(Contender& contender, std::span<std::byte> memory) {
  const auto server_before = CpuSeconds(contender.server_pids);
  if (!server_before.ok()) return server_before.status();
  const double client_before = OwnCpuSeconds();
  const auto start = std::chrono::steady_clock::now();
  if (absl::Status status = contender.fetch(memory); !status.ok()) return status;
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  contender.client_cpu_seconds += OwnCpuSeconds() - client_before;
  const auto server_after = CpuSeconds(contender.server_pids);
  if (!server_after.ok()) return server_after.status();
  contender.server_cpu_seconds += *server_after - *server_before;
  contender.seconds.push_back(elapsed.count());
  return absl::OkStatus();
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double MegabytesPerSecond(std::size_t bytes, double seconds) { return static_cast<double>(bytes) / 1e6 / seconds; }

// Returns the ratio of the median rates, first to second.
double PrintTable(const std::array<Contender, 2>& contenders, std::size_t bytes) {
  fmt::print("\n{:12} {:>12} {:>10} {:>10} {:>22} {:>22}\n", "", "median MB/s", "slowest", "fastest",
             "client CPU seconds/GB", "server CPU seconds/GB");
  for (const Contender& contender : contenders) {
    const auto [fastest, slowest] = std::minmax_element(contender.seconds.begin(), contender.seconds.end());
    const double gigabytes = static_cast<double>(bytes * contender.seconds.size()) / 1e9;
    fmt::print("{:12} {:>12.0f} {:>10.0f} {:>10.0f} {:>22.3f} {:>22.3f}\n", contender.name,
               MegabytesPerSecond(bytes, Median(contender.seconds)), MegabytesPerSecond(bytes, *slowest),
               MegabytesPerSecond(bytes, *fastest), contender.client_cpu_seconds / gigabytes,
               contender.server_cpu_seconds / gigabytes);
  }
  const double ratio = Median(contenders[1].seconds) / Median(contenders[0].seconds);
  fmt::print("\n{} / {}: {:.2f}\n", contenders[0].name, contenders[1].name, ratio);
  return ratio;
}

absl::Status Run(Options options) {
  ClientOptions client_options;
  client_options.connections = options.connections;
  const auto client = Client::Connect(options.server, client_options);
  if (!client.ok()) return client.status();
  const auto info = client->GetTensorInfo(options.model, options.tensor);
  if (!info.ok()) return info.status();
  if (info->size_bytes == 0) return absl::InvalidArgumentError("the tensor is empty");
  if (options.offset < 0) options.offset = info->file_offset;
  auto http = HttpConnection::Open(options.nginx);
  if (!http.ok()) return http.status();
  const auto memory = AllocateTouched(static_cast<std::size_t>(info->size_bytes));
  if (!memory.ok()) return memory.status();

  std::array<Contender, 2> contenders = {
      Contender{.name = "tensorferry",
                .server_pids = options.server_pids,
                .fetch =
                    [&](std::span<std::byte> destination_memory) {
                      HostDestination destination(destination_memory);
                      const std::array reads = {Read{.tensor = options.tensor, .destination = &destination}};
                      return client->Fetch(options.model, reads).status();
                    }},
      Contender{.name = "nginx", .server_pids = options.nginx_pids, .fetch = [&](std::span<std::byte> destination) {
                  return http->Get(options.url, options.offset, destination);
                }}};
  for (const Contender& contender : contenders) {
    if (absl::Status status = Verify(options, contender, *memory); !status.ok()) {
      return {status.code(), fmt::format("{}: {}", contender.name, std::string(status.message()))};
    }
  }
  fmt::print("{} bytes; both equal the file's\n", info->size_bytes);
  for (int round = 0; round < options.rounds; ++round) {
    // Whoever goes second may find the caches warmer: they take turns.
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      Contender& contender = contenders[(i + static_cast<std::size_t>(round)) % contenders.size()];
      if (absl::Status status = Measure(contender, *memory); !status.ok()) {
        return {status.code(), fmt::format("{}: {}", contender.name, std::string(status.message()))};
      }
    }
    fmt::print("round {:2}: ", round + 1);
    for (const Contender& contender : contenders) {
      fmt::print(" {} {:5.0f} MB/s", contender.name, MegabytesPerSecond(memory->size(), contender.seconds.back()));
    }
    fmt::print("\n");
    std::fflush(stdout);
  }
  const double ratio = PrintTable(contenders, memory->size());
  if (ratio >= options.required_ratio) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format("the ratio is below {}", options.required_ratio));
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Compares tensorferry with an HTTP server that sends the same bytes.", "throughput_benchmark");
  app.add_option("--server", options.server, "The tensorferryd, as the client takes it")->required();
  app.add_option("--model", options.model, "The model")->required();
  app.add_option("--tensor", options.tensor, "The tensor to fetch")->required();
  app.add_option("--connections", options.connections, "Connections to tensorferryd")->capture_default_str();
  app.add_option("--nginx", options.nginx, "The HTTP server, host:port")->required();
  app.add_option("--url", options.url, "The path of the tensor's file at the HTTP server")->required();
  app.add_option("--file", options.file, "The tensor's file here, to compare with")->required();
  app.add_option("--offset", options.offset,
                 "Where the tensor begins in the file, in bytes; default: asks tensorferryd");
  app.add_option("--rounds", options.rounds, "How often each is measured")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--server-pid", options.server_pids, "tensorferryd's processes, to count their CPU time")
      ->delimiter(',');
  app.add_option("--nginx-pid", options.nginx_pids, "The HTTP server's processes, to count their CPU time")
      ->delimiter(',');
  app.add_option("--require-ratio", options.required_ratio,
                 "Fail if tensorferry's median rate is less than this much of the other's")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const absl::Status status = Run(options);
  if (status.ok()) return 0;
  fmt::print(stderr, "throughput_benchmark: {}\n", std::string(status.message()));
  return 1;
}

}  // namespace
}  // namespace tensorferry::benchmarks

int main(int argc, char** argv) { return tensorferry::benchmarks::Main(argc, argv); }
