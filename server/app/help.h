// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_APP_HELP_H_
#define TENSORFERRY_SERVER_APP_HELP_H_

#include <CLI/App.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace tensorferry::server {

// Makes --help print a flag as `--max-streams N  (default 1024, 0 = unlimited)`, with its description below. The text
// in the parentheses is the option's default_str().
void UsePlainHelp(CLI::App& app);

// Returns the error for the first argument that has the form of a flag and is none: `no flag "--max-stream"; did you
// mean --max-streams?`. Returns nothing if there is no such argument.
std::optional<std::string> UnknownFlagError(const CLI::App& app, int argc, char** argv);

// Returns the error for a name that no flag has, with the flag of the most similar name if one is similar. `name` has
// the dashes of the command line, or none, as in a config file.
std::string NoSuchFlag(const CLI::App& app, std::string_view name);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_APP_HELP_H_
