// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_FLAGS_HELP_H_
#define TENSORFERRY_CLIENT_CLI_FLAGS_HELP_H_

#include <CLI/App.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace tensorferry::cli {

// Makes --help of `program`, and of the commands that are added to it later, look as we like it:
//
//   One sentence.
//
//   Examples:
//     ...
//
//   Network:
//     --timeout SECONDS  (default 0 = none)
//         Text of at most 80 columns.
//
// Groups come in the order in which their first flag was added.
void UseOurHelp(CLI::App& program);

// Adds a command. `sentence` is its help in the list of commands, and `examples` are three command lines.
CLI::App* AddCommand(CLI::App& program, const std::string& name, std::string_view sentence,
                     const std::vector<std::string_view>& examples);

// Returns the one line that says what is wrong with a command line that `program` did not accept: `error` is what its
// parse() threw. A flag or command that does not exist comes first, with the name that is most like it.
std::string ExplainUsage(const CLI::App& program, const CLI::ParseError& error);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_FLAGS_HELP_H_
