// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_OUTPUT_TERMINAL_H_
#define TENSORFERRY_CLIENT_CLI_OUTPUT_TERMINAL_H_

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace tensorferry::cli {

// The exit codes of the program.
enum ExitCode : int {
  kDone = 0,
  kFailed = 1,
  kWrongUsage = 2,
};

// Returns `message` as one line that is safe on a terminal. Unlike Escape, it keeps the escapes that are in it already.
std::string OneLine(std::string_view message);

// Prints `tensorferry: <what>: <reason>` to stderr, in one line, and returns kFailed.
ExitCode PrintFailure(std::string_view what, const absl::Status& status);

// Prints `tensorferry: <message>` to stderr, in one line, and returns kWrongUsage.
ExitCode PrintWrongUsage(std::string_view message);

// Writes all of `data` to a pipe, terminal or device. Blocks for as long as the reader does. `name` is for messages.
absl::Status WriteToStream(int fd, std::span<const std::byte> data, std::string_view name);

// Writes `text` to stdout, past stdio. Errors: those of the operating system.
absl::Status WriteStdout(std::string_view text);

// Writes `text`, the output of a command, to stdout. Returns `code`, or kFailed if that failed.
ExitCode PrintAndExit(std::string_view text, ExitCode code = kDone);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_OUTPUT_TERMINAL_H_
