// SPDX-License-Identifier: Apache-2.0
#include "client/cli/connection.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>

#include "absl/status/status.h"
#include "client/cli/address_space.h"
#include "tensorferry/quote.h"

namespace tensorferry::cli {

CLI::Validator SecondsFrom(double least) {
  return CLI::Validator(
      [least](const std::string& text) {
        constexpr double kMost = 1e9;
        double seconds = 0;
        if (CLI::detail::lexical_cast(text, seconds) && seconds >= least && seconds <= kMost) return std::string();
        return fmt::format("{} is not a number of seconds from {} to {:.0f}", text, least, kMost);
      },
      "");
}

void AddServerOptions(CLI::App& command, ServerOptions& options) {
  command
      .add_option(
          "--server", options.address,
          "The server: host:port, [ipv6]:port, unix:PATH or dns:///name:port; or several that serve the same, with "
          "commas between them: when one fails, the next goes on")
      ->envname("TENSORFERRY_SERVER")
      ->type_name("ADDR")
      ->capture_default_str();
  command.add_option("--timeout", options.timeout_seconds, "Give up after this many seconds in all; 0: never")
      ->type_name("SECONDS")
      ->check(SecondsFrom(0))
      ->capture_default_str();
  command
      .add_option("--connect-timeout", options.connect_timeout_seconds,
                  "Wait this many seconds for the server to answer at first")
      ->type_name("SECONDS")
      ->check(SecondsFrom(0.001))
      ->capture_default_str();
  command
      .add_option("--connections", options.connections,
                  "How many connections to spread data over, 1 to 64; one is best up to about 3 GB/s")
      ->type_name("N")
      ->check(CLI::Range(1, 64).description(""))
      ->capture_default_str();
  command
      .add_option("--retries", options.retries,
                  "Try again after this many failures in a row, if they may pass; any byte that arrives begins the "
                  "count anew; 0: never")
      ->envname("TENSORFERRY_RETRIES")
      ->type_name("N")
      ->check(CLI::Range(0, 1'000'000).description(""))
      ->capture_default_str();
  AddSecurityFlags(command, options.security);
}

Deadline::Deadline(const ServerOptions& options) {
  if (options.timeout_seconds > 0) end_ = absl::Now() + absl::Seconds(options.timeout_seconds);
}

absl::Duration Deadline::remaining() const {
  if (end_ == absl::InfiniteFuture()) return absl::InfiniteDuration();
  return std::max(end_ - absl::Now(), absl::ZeroDuration());
}

absl::StatusOr<Client> Connect(const ServerOptions& options, const Deadline& deadline) {
  if (absl::Status room = CheckRoomToConnect(options.connections); !room.ok()) return room;
  ClientOptions client_options;
  client_options.connect_timeout = std::min(absl::Seconds(options.connect_timeout_seconds), deadline.remaining());
  client_options.connections = options.connections;
  options.security.Apply(client_options);
  client_options.retry.max_attempts = options.retries + 1;
  return Client::Connect(options.address, client_options);
}

std::string ServerName(const ServerOptions& options) { return Escape(options.address); }

}  // namespace tensorferry::cli
