// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_COMMANDS_INFO_H_
#define TENSORFERRY_CLIENT_CLI_COMMANDS_INFO_H_

#include <CLI/App.hpp>
#include <functional>

#include "client/cli/process/exit_code.h"

namespace tensorferry::cli {

// Adds `info MODEL [TENSOR]`, which tells all that is known of a model or tensor. Parsing it sets `run` to the command.
void AddInfoCommand(CLI::App& program, std::function<ExitCode()>& run);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_COMMANDS_INFO_H_
