// SPDX-License-Identifier: Apache-2.0
#include "client/cli/commands/health.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "client/cli/flags/connection.h"
#include "client/cli/flags/security_flags.h"
#include "client/cli/output/terminal.h"
#include "lib/text/quote.h"
#include "tensorferry/health.h"

namespace tensorferry::cli {
namespace {

struct HealthOptions {
  std::string address = ServerOptions().address;
  std::string service;
  double timeout_seconds = 5;
  SecurityFlags security;
};

ExitCode RunHealth(const HealthOptions& options) {
  ClientOptions client_options;
  options.security.Apply(client_options);
  const absl::Status status =
      CheckHealth(options.address, options.service, absl::Seconds(options.timeout_seconds), client_options);
  return status.ok() ? kDone : PrintFailure("not healthy", status);
}

}  // namespace

void AddHealthCommand(CLI::App& program, std::function<ExitCode()>& run) {
  auto options = std::make_shared<HealthOptions>();
  CLI::App* const command =
      program.add_subcommand("health", "Tell by the exit code whether a server serves; for probes");
  command->add_option("--server", options->address, "The server: host:port, [ipv6]:port, unix:PATH or dns:///name:port")
      ->envname("TENSORFERRY_SERVER")
      ->type_name("ADDR")
      ->capture_default_str();
  command
      ->add_option("--service", options->service,
                   "What to ask for: readiness, liveness, tensorferry.v1.TensorService; default: all of it")
      ->type_name("NAME");
  command->add_option("--timeout", options->timeout_seconds, "Wait this many seconds for the answer")
      ->type_name("SECONDS")
      ->check(SecondsFrom(0.001))
      ->capture_default_str();
  AddSecurityFlags(*command, options->security);
  command->callback([options, &run] { run = [options] { return RunHealth(*options); }; });
}

}  // namespace tensorferry::cli
