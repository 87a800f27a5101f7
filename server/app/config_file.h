// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_APP_CONFIG_FILE_H_
#define TENSORFERRY_SERVER_APP_CONFIG_FILE_H_

#include <CLI/App.hpp>
#include <string>
#include <vector>

namespace tensorferry::server {

// Adds --config to a program, whose other flags can then stand in a file, without their dashes: `workers = 8`. The
// command line goes before the environment, and that before the file. What is no flag is an error.
void AddConfigFile(CLI::App& app);

// Returns the arguments to parse: those of the program, in the order that CLI11 wants, with the file that
// TENSORFERRYD_CONFIG names, if they name none.
std::vector<std::string> ArgumentsWithConfigFile(int argc, char** argv);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_APP_CONFIG_FILE_H_
