// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_COMMANDS_GET_H_
#define TENSORFERRY_CLIENT_CLI_COMMANDS_GET_H_

#include <CLI/App.hpp>
#include <functional>

#include "client/cli/process/exit_code.h"

namespace tensorferry::cli {

// Adds `get MODEL TENSOR -o FILE`, which fetches one tensor or slice into a file. Parsing it sets `run` to the command.
void AddGetCommand(CLI::App& program, std::function<ExitCode()>& run);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_COMMANDS_GET_H_
