// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/commands/commands.h"
#include "client/cli/commands/fetch_memory.h"
#include "client/cli/commands/small_read.h"
#include "client/cli/flags/connection.h"
#include "client/cli/flags/device_flags.h"
#include "client/cli/flags/help.h"
#include "client/cli/flags/validators.h"
#include "client/cli/output/human.h"
#include "client/cli/output/progress_bar.h"
#include "client/cli/output/terminal.h"
#include "client/cli/process/interrupt.h"
#include "lib/text/json_text.h"
#include "lib/text/quote.h"
#include "tensorferry/client.h"

namespace tensorferry::cli {
namespace {

constexpr std::int64_t kSmallReadBytes = 4096;

struct BenchOptions {
  ServerOptions server;
  std::string model;
  std::string tensor;
  // Says if TENSOR was given: a tensor's name may be empty.
  CLI::Option* tensor_given = nullptr;
  int rounds = 5;
  int latency_reads = 1000;
  DeviceFlags device;
  bool json = false;
};

struct BenchResult {
  // The model of the GPU; empty for host memory.
  std::string device_name;
  std::int64_t bytes = 0;
  double median_seconds = 0;
  double bytes_per_second = 0;
  std::int64_t latency_bytes = 0;
  double latency_p50_seconds = 0;
  double latency_p95_seconds = 0;
  double latency_p99_seconds = 0;
};

// The inputs of all measurements of one command.
struct BenchJob {
  const BenchOptions& options;
  const Client& client;
  const std::optional<CudaDevice>& device;
  const Deadline& deadline;
  const Interrupt& interrupt;

  FetchOptions Fetch() const {
    FetchOptions fetch;
    fetch.timeout = deadline.remaining();
    fetch.stop_token = interrupt.token();
    fetch.on_retry = PrintRetry;
    return fetch;
  }
};

// Returns the smallest value in `sorted` that is at least as large as the share `share` of the values.
double Percentile(std::span<const double> sorted, double share) {
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
}

absl::StatusOr<std::vector<TensorInfo>> ChooseTensors(const BenchJob& job) {
  const BenchOptions& options = job.options;
  if (options.tensor_given->count() == 0) {
    auto tensors = job.client.ListTensors(options.model, {}, job.Fetch().call());
    if (tensors.ok() && tensors->empty()) return absl::FailedPreconditionError("the model has no tensors");
    return tensors;
  }
  auto tensor = job.client.GetTensorInfo(options.model, options.tensor, job.Fetch().call());
  if (!tensor.ok()) return tensor.status();
  return std::vector{*std::move(tensor)};
}

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Fetches all `tensors` in one request per round.
absl::Status MeasureThroughput(const BenchJob& job, std::span<const TensorInfo> tensors, BenchResult& result) {
  for (const TensorInfo& info : tensors) {
    if (__builtin_add_overflow(result.bytes, info.size_bytes, &result.bytes)) {
      return absl::DataLossError("the server reports a model of more than 8 EiB");
    }
  }
  const auto memory = FetchMemory::Allocate(result.bytes, job.device);
  if (!memory.ok()) return memory.status();

  std::vector<Read> reads;
  std::int64_t position = 0;
  for (const TensorInfo& info : tensors) {
    reads.push_back({.tensor = info.name, .into = memory->Part(position, info.size_bytes)});
    position += info.size_bytes;
  }

  std::vector<double> seconds;
  for (int round = 1; round <= job.options.rounds; ++round) {
    ProgressBar progress_bar(fmt::format("round {} of {}", round, job.options.rounds));
    FetchOptions fetch = job.Fetch();
    fetch.on_progress = progress_bar.OnProgress();
    fetch.on_retry = progress_bar.OnRetry();
    const auto start = std::chrono::steady_clock::now();
    const auto fetched = job.client.Fetch(job.options.model, reads, fetch);
    seconds.push_back(SecondsSince(start));
    if (!fetched.ok()) return fetched.status();
  }
  std::sort(seconds.begin(), seconds.end());
  result.median_seconds = Percentile(seconds, 0.5);
  if (result.median_seconds > 0) result.bytes_per_second = static_cast<double>(result.bytes) / result.median_seconds;
  return absl::OkStatus();
}

// Fetches the same few bytes repeatedly, one read at a time.
absl::Status MeasureLatency(const BenchJob& job, std::span<const TensorInfo> tensors, BenchResult& result) {
  const SmallRead read = ChooseSmallRead(tensors, kSmallReadBytes);
  result.latency_bytes = read.size_bytes;
  const auto memory = FetchMemory::Allocate(read.size_bytes, job.device);
  if (!memory.ok()) return memory.status();
  const std::array reads = {Read{read.tensor, read.slice, memory->Part(0, read.size_bytes)}};

  std::vector<double> seconds;
  for (int i = 0; i < job.options.latency_reads; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const auto fetched = job.client.Fetch(job.options.model, reads, job.Fetch());
    seconds.push_back(SecondsSince(start));
    if (!fetched.ok()) return fetched.status();
  }
  std::sort(seconds.begin(), seconds.end());
  result.latency_p50_seconds = Percentile(seconds, 0.50);
  result.latency_p95_seconds = Percentile(seconds, 0.95);
  result.latency_p99_seconds = Percentile(seconds, 0.99);
  return absl::OkStatus();
}

absl::StatusOr<BenchResult> Bench(const BenchOptions& options, Interrupt& interrupt) {
  const Deadline deadline(options.server);
  const auto device = options.device.Open();
  if (!device.ok()) return device.status();
  const auto client = Connect(options.server, deadline);
  if (!client.ok()) return client.status();
  interrupt.Arm();
  const BenchJob job{options, *client, *device, deadline, interrupt};
  const auto tensors = ChooseTensors(job);
  if (!tensors.ok()) return tensors.status();
  BenchResult result;
  if (*device) result.device_name = (*device)->model_name();
  if (const absl::Status status = MeasureThroughput(job, *tensors, result); !status.ok()) return status;
  if (const absl::Status status = MeasureLatency(job, *tensors, result); !status.ok()) return status;
  return result;
}

// Returns the name of the memory that the data was fetched into.
std::string MemoryName(const BenchOptions& options, const BenchResult& result) {
  if (!options.device.cuda_ordinal) return "memory";
  const CudaOptions& device = options.device.options;
  return fmt::format("cuda:{} ({}) through {} of {}", *options.device.cuda_ordinal, result.device_name,
                     Counted(device.staging_buffers, "staging buffer"), HumanSize(device.staging_buffer_bytes));
}

std::string Text(const BenchOptions& options, const BenchResult& result) {
  return fmt::format(
      "throughput:  {}/s ({:.2f} GB/s), the median of {} of {} into {}\n"
      "latency:     p50 {}, p95 {}, p99 {}, over {} of {}\n",
      HumanSize(result.bytes_per_second), result.bytes_per_second / 1e9, Counted(options.rounds, "round"),
      HumanSize(result.bytes), MemoryName(options, result), HumanLatency(result.latency_p50_seconds),
      HumanLatency(result.latency_p95_seconds), HumanLatency(result.latency_p99_seconds),
      Counted(options.latency_reads, "read"), HumanSize(result.latency_bytes));
}

std::string Json(const BenchOptions& options, const BenchResult& result) {
  JsonText json;
  json.BeginObject();
  if (options.device.cuda_ordinal) {
    json.Member("device", fmt::format("cuda:{}", *options.device.cuda_ordinal))
        .Member("device_name", result.device_name)
        .Member("staging_buffer_bytes", options.device.options.staging_buffer_bytes)
        .Member("staging_buffers", std::int64_t{options.device.options.staging_buffers});
  }
  return json.Member("bytes", result.bytes)
      .Member("rounds", std::int64_t{options.rounds})
      .Member("median_seconds", result.median_seconds)
      .Member("bytes_per_second", result.bytes_per_second)
      .Member("latency_reads", std::int64_t{options.latency_reads})
      .Member("latency_bytes", result.latency_bytes)
      .Member("latency_p50_seconds", result.latency_p50_seconds)
      .Member("latency_p95_seconds", result.latency_p95_seconds)
      .Member("latency_p99_seconds", result.latency_p99_seconds)
      .EndObject()
      .ToString();
}

ExitCode RunBench(const BenchOptions& options) {
  Interrupt interrupt;
  const auto result = Bench(options, interrupt);
  if (result.ok()) return PrintAndExit(options.json ? Json(options, *result) : Text(options, *result));
  return PrintFailure(fmt::format("cannot measure model {} at {}", Quote(options.model), ServerName(options.server)),
                      interrupt.Explain(result.status()));
}

}  // namespace

void AddBenchCommand(CLI::App& program, std::function<ExitCode()>& run) {
  auto options = std::make_shared<BenchOptions>();
  CLI::App* const command =
      AddCommand(program, "bench", "Measure the throughput of fetching a model, and the latency of small reads.",
                 {"tensorferry bench llama-8b", "tensorferry bench llama-8b --device cuda:0 --rounds 10",
                  "tensorferry bench llama-8b lm_head.weight --connections 4 --json"});
  command->add_option("MODEL", options->model, "The model, as ls names it.")->required();
  options->tensor_given =
      command->add_option("TENSOR", options->tensor, "Fetch this tensor. Without it: the whole model.");
  command->add_option("--rounds", options->rounds, "Fetch this many times; the result is the median.")
      ->group("Measurement")
      ->type_name("N")
      ->check(WholeNumber(1, 1'000'000))
      ->capture_default_str();
  command->add_option("--latency-reads", options->latency_reads, "Time this many reads of at most 4096 bytes.")
      ->group("Measurement")
      ->type_name("N")
      ->check(WholeNumber(1, 10'000'000))
      ->capture_default_str();
  AddDeviceFlags(*command, "Fetch into the memory of this GPU.", options->device);
  command->add_flag("--json", options->json, "Print JSON: bytes and seconds.")->group("Output");
  AddServerOptions(*command, options->server);
  command->callback([options, &run] { run = [options] { return RunBench(*options); }; });
}

}  // namespace tensorferry::cli
