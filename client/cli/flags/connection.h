// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_FLAGS_CONNECTION_H_
#define TENSORFERRY_CLIENT_CLI_FLAGS_CONNECTION_H_

#include <CLI/App.hpp>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/cli/flags/security_flags.h"
#include "tensorferry/client.h"

namespace tensorferry::cli {

// The flags of every command that fetches from a server.
struct ServerOptions {
  // One address, or several with commas between them.
  std::string address = "127.0.0.1:7070";
  double timeout_seconds = 0;  // none
  double connect_timeout_seconds = 10;
  int connections = 0;  // automatic
  // Without a value, the library's default: it retries for a minute.
  std::optional<int> retries = std::nullopt;
  SecurityFlags security;
};

// Adds the flags to `command`, which must not outlive `options`.
void AddServerOptions(CLI::App& command, ServerOptions& options);

// Adds --server alone.
CLI::Option* AddServerFlag(CLI::App& command, std::string& address);

// The deadline of a command, over all its calls. Time runs from the construction.
class Deadline {
 public:
  explicit Deadline(const ServerOptions& options);

  // Returns the time that is left, never negative.
  absl::Duration remaining() const;

 private:
  absl::Time end_ = absl::InfiniteFuture();
};

// Connects to the server within the deadline. Errors: those of Client::Connect.
absl::StatusOr<Client> Connect(const ServerOptions& options, const Deadline& deadline);

// Returns the address, or the whole list of addresses, for messages.
std::string ServerName(const ServerOptions& options);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_FLAGS_CONNECTION_H_
