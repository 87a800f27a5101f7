// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_COMMANDS_BENCH_H_
#define TENSORFERRY_CLIENT_CLI_COMMANDS_BENCH_H_

#include <CLI/App.hpp>
#include <functional>

#include "client/cli/process/exit_code.h"

namespace tensorferry::cli {

// Adds `bench MODEL [TENSOR]`, which measures throughput and latency. Parsing it sets `run` to the command.
void AddBenchCommand(CLI::App& program, std::function<ExitCode()>& run);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_COMMANDS_BENCH_H_
