// SPDX-License-Identifier: Apache-2.0
#include "client/cli/flags/connection.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "client/cli/flags/validators.h"
#include "lib/text/quote.h"

namespace tensorferry::cli {
namespace {

std::vector<std::string> SplitAtCommas(const std::string& list) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    parts.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

}  // namespace

CLI::Option* AddServerFlag(CLI::App& command, std::string& address) {
  return command
      .add_option("--server", address,
                  "The server: host:port, [ipv6]:port, unix:PATH or dns:///name:port. The port may be left out if it "
                  "is 7070.")
      ->group("Network")
      ->envname("TENSORFERRY_SERVER")
      ->type_name("ADDR")
      ->transform(ServerAddresses())
      ->default_str(address);
}

void AddServerOptions(CLI::App& command, ServerOptions& options) {
  CLI::Option* const server = AddServerFlag(command, options.address);
  server->description(server->get_description() +
                      " Several servers of the same models: addresses with commas between them; when one fails, the "
                      "next one continues.");
  command
      .add_option("--timeout", options.timeout_seconds,
                  "Fail after this long in total. Plain seconds, or with a unit: 500ms, 5s, 2m, 1h.")
      ->group("Network")
      ->type_name("SECONDS")
      ->default_str("0 = none")
      ->transform(Seconds(0));
  command.add_option("--connect-timeout", options.connect_timeout_seconds, "Wait this long for the first connection.")
      ->group("Network")
      ->type_name("SECONDS")
      ->transform(Seconds(0.001))
      ->capture_default_str();
  command
      .add_option(
          "--connections", options.connections,
          "Connections to spread the data of get and bench over, at most 64. Automatic: as many as this machine "
          "gains from, and one for a small fetch.")
      ->group("Network")
      ->type_name("N")
      ->default_str("0 = automatic")
      ->check(WholeNumber(0, 64));
  command
      .add_option(
          "--retries", options.retries,
          "Retry temporary failures at most this many times in a row. Every byte that arrives resets the count.")
      ->group("Network")
      ->envname("TENSORFERRY_RETRIES")
      ->type_name("N")
      ->default_str("for 60 s, 0 = never")
      ->check(WholeNumber(0, 1'000'000));
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
  ClientOptions client_options;
  client_options.connect_timeout = std::min(absl::Seconds(options.connect_timeout_seconds), deadline.remaining());
  client_options.connections = options.connections;
  options.security.Apply(client_options);
  if (options.retries) client_options.retry.max_attempts = *options.retries + 1;
  return Client::Connect(SplitAtCommas(options.address), client_options);
}

std::string ServerName(const ServerOptions& options) { return Escape(options.address); }

}  // namespace tensorferry::cli
