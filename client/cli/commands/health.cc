// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>

#include "client/cli/commands/commands.h"
#include "client/cli/flags/connection.h"
#include "client/cli/flags/help.h"
#include "client/cli/flags/security_flags.h"
#include "client/cli/flags/validators.h"
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
      AddCommand(program, "health", "Check if a server is serving: exit code 0 if it is, else 1. For probes.",
                 {"tensorferry health", "tensorferry health --server gpu-store:7070 --service readiness",
                  "tensorferry health --server unix:/run/tensorferry.sock --timeout 1s"});
  AddServerFlag(*command, options->address);
  command
      ->add_option("--service", options->service,
                   "Service to check: readiness, liveness or tensorferry.v1.TensorService.")
      ->group("Network")
      ->type_name("NAME")
      ->default_str("the whole server");
  command->add_option("--timeout", options->timeout_seconds, "Fail without an answer after this long.")
      ->group("Network")
      ->type_name("SECONDS")
      ->transform(Seconds(0.001))
      ->capture_default_str();
  AddSecurityFlags(*command, options->security);
  command->callback([options, &run] { run = [options] { return RunHealth(*options); }; });
}

}  // namespace tensorferry::cli
