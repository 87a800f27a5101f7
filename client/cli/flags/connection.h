// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_FLAGS_CONNECTION_H_
#define TENSORFERRY_CLIENT_CLI_FLAGS_CONNECTION_H_

#include <CLI/App.hpp>
#include <CLI/Validators.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/flags/security_flags.h"
#include "tensorferry/client.h"

namespace tensorferry::cli {

// Takes a number of seconds of at least `least`. (CLI::Range lets NaN pass.)
CLI::Validator SecondsFrom(double least);

// The options of every command that talks to a server.
struct ServerOptions {
  std::string address = "127.0.0.1:7070";
  double timeout_seconds = 0;
  double connect_timeout_seconds = 10;
  int connections = 0;  // automatic
  int retries = 7;
  SecurityFlags security;
};

// Adds them to `command`, which must not outlive `options`.
void AddServerOptions(CLI::App& command, ServerOptions& options);

// The time that a command has for all that it asks of the server; it runs from the construction.
class Deadline {
 public:
  explicit Deadline(const ServerOptions& options);

  // What is left of it, never negative.
  absl::Duration remaining() const;

 private:
  absl::Time end_ = absl::InfiniteFuture();
};

absl::StatusOr<Client> Connect(const ServerOptions& options, const Deadline& deadline);

// The server's address, or all of the list, for messages.
std::string ServerName(const ServerOptions& options);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_FLAGS_CONNECTION_H_
