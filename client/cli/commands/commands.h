// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_COMMANDS_COMMANDS_H_
#define TENSORFERRY_CLIENT_CLI_COMMANDS_COMMANDS_H_

#include <CLI/App.hpp>
#include <functional>

#include "client/cli/output/terminal.h"

namespace tensorferry::cli {

// The commands, each in a file of its own. Parsing one sets `run` to it.
void AddBenchCommand(CLI::App& program, std::function<ExitCode()>& run);
void AddCheckCommand(CLI::App& program, std::function<ExitCode()>& run);
void AddGetCommand(CLI::App& program, std::function<ExitCode()>& run);
void AddHealthCommand(CLI::App& program, std::function<ExitCode()>& run);
void AddInfoCommand(CLI::App& program, std::function<ExitCode()>& run);
void AddLsCommand(CLI::App& program, std::function<ExitCode()>& run);
void AddPullCommand(CLI::App& program, std::function<ExitCode()>& run);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_COMMANDS_COMMANDS_H_
