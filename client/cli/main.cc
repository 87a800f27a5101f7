// SPDX-License-Identifier: Apache-2.0
//
// The tensorferry command line client. Each command is a file beside this one.
#include <signal.h>

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <exception>
#include <functional>
#include <new>
#include <string>
#include <string_view>
#include <system_error>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "client/cli/commands/bench.h"
#include "client/cli/commands/check.h"
#include "client/cli/commands/get.h"
#include "client/cli/commands/health.h"
#include "client/cli/commands/info.h"
#include "client/cli/commands/ls.h"
#include "client/cli/commands/pull.h"
#include "client/cli/output/terminal.h"
#include "client/cli/process/exit_code.h"
#include "lib/text/quote.h"
#include "tensorferry/version.h"

namespace tensorferry::cli {
namespace {

ExitCode Main(int argc, char** argv) {
  // Over a file size limit, a write shall fail like any other, with its file named and cleaned up.
  ::signal(SIGXFSZ, SIG_IGN);
  // gRPC would write to stderr, in lines of its own, what our one line says.
  ::setenv("GRPC_VERBOSITY", "NONE", 0);
  // Debian builds Abseil so that each lock of gRPC's is looked at for deadlocks.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);

  CLI::App program("Lists and fetches the tensors that a tensorferry server has.", "tensorferry");
  program.footer("Exit codes: 0 done, 1 failed, 2 wrong usage. The server may also be given as TENSORFERRY_SERVER.");
  program.set_version_flag("--version", "tensorferry " TENSORFERRY_VERSION, "Print the version and exit");
  program.require_subcommand(1);
  program.failure_message([](const CLI::App*, const CLI::Error& error) {
    return "tensorferry: " + OneLine(error.what()) + " (--help tells more)\n";
  });

  std::function<ExitCode()> run;
  AddLsCommand(program, run);
  AddInfoCommand(program, run);
  AddGetCommand(program, run);
  AddPullCommand(program, run);
  AddCheckCommand(program, run);
  AddBenchCommand(program, run);
  AddHealthCommand(program, run);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // CLI11 would only say that a command is missing.
    if (const std::string_view word = argc > 1 ? argv[1] : "";
        program.get_subcommands().empty() && !word.empty() && word[0] != '-') {
      return PrintWrongUsage(fmt::format("there is no command {} (--help lists them)", Quote(word)));
    }
    return program.exit(error) == 0 ? kDone : kWrongUsage;
  }
  return run();
}

}  // namespace
}  // namespace tensorferry::cli

int main(int argc, char** argv) {
  try {
    return tensorferry::cli::Main(argc, argv);
  } catch (const std::bad_alloc&) {
    return tensorferry::cli::PrintFailure("failed", absl::ResourceExhaustedError("there is no memory left"));
  } catch (const std::system_error& error) {
    // The standard library's, for a thread that cannot be had.
    return tensorferry::cli::PrintFailure(
        "failed", absl::ResourceExhaustedError(fmt::format(
                      "{}: too many threads (ulimit -u) or too little address space (ulimit -v)", error.what())));
  } catch (const std::exception& error) {
    return tensorferry::cli::PrintFailure("failed", absl::InternalError(error.what()));
  }
}
