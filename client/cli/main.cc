// SPDX-License-Identifier: Apache-2.0
//
// The tensorferry command line client. Each command is a file in commands/.
#include <signal.h>

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <exception>
#include <functional>
#include <new>
#include <system_error>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "client/cli/commands/commands.h"
#include "client/cli/flags/help.h"
#include "client/cli/output/terminal.h"
#include "tensorferry/version.h"

namespace tensorferry::cli {
namespace {

ExitCode Main(int argc, char** argv) {
  // Beyond a file size limit (ulimit -f), a write fails like any other: its file is named and removed.
  ::signal(SIGXFSZ, SIG_IGN);
  // Otherwise gRPC writes its own lines to stderr, in addition to our one line.
  ::setenv("GRPC_VERBOSITY", "NONE", 0);
  // Debian's Abseil otherwise checks every lock of gRPC for deadlocks.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);

  CLI::App program(
      "Lists and fetches the tensors of a tensorferry server.\n\nExamples:\n"
      "  tensorferry ls --server gpu-store:7070\n"
      "  tensorferry get llama-8b lm_head.weight -o lm_head.npy\n"
      "  tensorferry pull llama-8b /models/llama-8b",
      "tensorferry");
  program.footer(
      "Exit codes: 0 done, 1 failed, 2 wrong usage.\n"
      "env NAME: the environment variable that sets a flag. The command line has precedence.");
  program.set_version_flag("--version", "tensorferry " TENSORFERRY_VERSION, "Print the version and exit.")
      ->group("Other");
  program.require_subcommand(1);
  UseOurHelp(program);

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
    if (error.get_exit_code() == 0) {  // --help, --version
      program.exit(error);
      return kDone;
    }
    return PrintWrongUsage(ExplainUsage(program, error));
  }
  return run();
}

}  // namespace
}  // namespace tensorferry::cli

int main(int argc, char** argv) {
  try {
    return tensorferry::cli::Main(argc, argv);
  } catch (const std::bad_alloc&) {
    return tensorferry::cli::PrintFailure("failed", absl::ResourceExhaustedError("out of memory"));
  } catch (const std::system_error& error) {
    // The standard library throws this if it cannot start a thread.
    return tensorferry::cli::PrintFailure(
        "failed", absl::ResourceExhaustedError(fmt::format(
                      "{}: too many threads (ulimit -u) or too little address space (ulimit -v)", error.what())));
  } catch (const std::exception& error) {
    return tensorferry::cli::PrintFailure("failed", absl::InternalError(error.what()));
  }
}
