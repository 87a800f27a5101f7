// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_COMMANDS_LS_H_
#define TENSORFERRY_CLIENT_CLI_COMMANDS_LS_H_

#include <CLI/App.hpp>
#include <functional>

#include "client/cli/process/exit_code.h"

namespace tensorferry::cli {

// Adds `ls [MODEL]`, which lists the models of a server or the tensors of a model. Parsing it sets `run` to the
// command.
void AddLsCommand(CLI::App& program, std::function<ExitCode()>& run);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_COMMANDS_LS_H_
