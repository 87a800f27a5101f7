// SPDX-License-Identifier: Apache-2.0
//
// Fetches a tensor into the memory of a GPU, reads it back with the driver's own function, and writes the bytes to
// stdout. For tests. Usage:
//   device_get MODEL TENSOR --server ADDRESS --device cuda:N [--slice SLICE] [--connections N]
#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "client/cli/flags/device_flags.h"
#include "tensorferry/client.h"
#include "tensorferry/cuda.h"
#include "tensorferry/slice_plan.h"
#include "tests/client/cuda/device_memory.h"

namespace tensorferry::test {
namespace {

struct Options {
  std::string model;
  std::string tensor;
  std::string server;
  std::string slice;
  int connections = 0;
  cli::DeviceFlags device;
};

absl::StatusOr<std::string> Get(const Options& options) {
  const auto device = options.device.Open();
  if (!device.ok()) return device.status();
  if (!*device) return absl::InvalidArgumentError("--device is missing");
  const auto client = Client::Connect({options.server}, {.connections = options.connections});
  if (!client.ok()) return client.status();
  const auto info = client->GetTensorInfo(options.model, options.tensor);
  if (!info.ok()) return info.status();
  Read read{.tensor = options.tensor};
  std::int64_t size_bytes = info->size_bytes;
  if (!options.slice.empty()) {
    auto slice = SliceSpec::Parse(options.slice);
    if (!slice.ok()) return slice.status();
    const auto plan = SlicePlan::Create(*slice, info->dtype, info->shape);
    if (!plan.ok()) return plan.status();
    read.slice = *std::move(slice);
    size_bytes = plan->size_bytes();
  }
  const auto memory = (*device)->Allocate(size_bytes);
  if (!memory.ok()) return memory.status();
  read.into = (*device)->Span(memory->data(), size_bytes);
  const auto fetched = client->Fetch(options.model, {&read, 1});
  if (!fetched.ok()) return fetched.status();
  return ReadBack(**device, memory->data(), size_bytes);
}

int Run(int argc, char** argv) {
  Options options;
  CLI::App program("Fetches a tensor into the memory of a GPU, and writes the bytes of that memory to stdout",
                   "device_get");
  program.add_option("MODEL", options.model)->required();
  program.add_option("TENSOR", options.tensor)->required();
  program.add_option("--server", options.server)->required();
  program.add_option("--slice", options.slice);
  program.add_option("--connections", options.connections);
  cli::AddDeviceFlags(program, "The GPU", options.device);
  CLI11_PARSE(program, argc, argv);
  const auto bytes = Get(options);
  if (!bytes.ok()) return std::cerr << "device_get: " << bytes.status() << '\n', 1;
  return std::fwrite(bytes->data(), 1, bytes->size(), stdout) == bytes->size() && std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace
}  // namespace tensorferry::test

int main(int argc, char** argv) { return tensorferry::test::Run(argc, argv); }
