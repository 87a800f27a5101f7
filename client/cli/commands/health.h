// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_COMMANDS_HEALTH_H_
#define TENSORFERRY_CLIENT_CLI_COMMANDS_HEALTH_H_

#include <CLI/App.hpp>
#include <functional>

#include "client/cli/process/exit_code.h"

namespace tensorferry::cli {

// Adds `health`; when it is parsed, `run` does what it asks.
void AddHealthCommand(CLI::App& program, std::function<ExitCode()>& run);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_COMMANDS_HEALTH_H_
