// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_COMMANDS_PULL_H_
#define TENSORFERRY_CLIENT_CLI_COMMANDS_PULL_H_

#include <CLI/App.hpp>
#include <functional>

#include "client/cli/process/exit_code.h"

namespace tensorferry::cli {

// Adds `pull MODEL DIR`, which brings a model's files to disk. Parsing it sets `run` to the command.
void AddPullCommand(CLI::App& program, std::function<ExitCode()>& run);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_COMMANDS_PULL_H_
