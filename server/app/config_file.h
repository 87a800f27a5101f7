// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_APP_CONFIG_FILE_H_
#define TENSORFERRY_SERVER_APP_CONFIG_FILE_H_

#include <CLI/App.hpp>
#include <string>
#include <vector>

namespace tensorferry::server {

// Adds --config to a program. The file sets other flags, without their dashes: `workers = 8`. Precedence: command line,
// environment, file. A name that no flag has is an error. Returns the option.
CLI::Option* AddConfigFile(CLI::App& app);

// Returns the program's arguments in the order that CLI11 wants. If they name no config file, the one that
// TENSORFERRYD_CONFIG names is added.
std::vector<std::string> ArgumentsWithConfigFile(int argc, char** argv);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_APP_CONFIG_FILE_H_
