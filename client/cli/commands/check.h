// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_COMMANDS_CHECK_H_
#define TENSORFERRY_CLIENT_CLI_COMMANDS_CHECK_H_

#include <CLI/App.hpp>
#include <functional>

#include "client/cli/process/exit_code.h"

namespace tensorferry::cli {

// Adds `check PATH...`, which validates files and directories here. Parsing it sets `run` to the command.
void AddCheckCommand(CLI::App& program, std::function<ExitCode()>& run);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_COMMANDS_CHECK_H_
