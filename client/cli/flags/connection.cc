// SPDX-License-Identifier: Apache-2.0
#include "client/cli/flags/connection.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lib/text/quote.h"

namespace tensorferry::cli {
namespace {

std::string_view WithoutSpaces(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(' ') + 1 - begin);
}

// Splits a comma-separated list. Errors: INVALID_ARGUMENT: an empty address.
absl::StatusOr<std::vector<std::string>> ParseAddresses(std::string_view list) {
  std::vector<std::string> addresses;
  std::size_t begin = 0;
  while (begin <= list.size()) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    addresses.emplace_back(WithoutSpaces(list.substr(begin, end - begin)));
    if (addresses.back().empty()) {
      return absl::InvalidArgumentError(fmt::format("an address is empty in {}", Quote(list)));
    }
    begin = end + 1;
  }
  return addresses;
}

}  // namespace

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
                  "Connections to spread data over, 1 to 64; default: as many as the machine gains from, one for a "
                  "small fetch")
      ->type_name("N")
      ->check(CLI::Range(1, 64).description(""));
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
  ClientOptions client_options;
  client_options.connect_timeout = std::min(absl::Seconds(options.connect_timeout_seconds), deadline.remaining());
  client_options.connections = options.connections;
  options.security.Apply(client_options);
  client_options.retry.max_attempts = options.retries + 1;
  absl::StatusOr<std::vector<std::string>> addresses = ParseAddresses(options.address);
  if (!addresses.ok()) return addresses.status();
  return Client::Connect(*std::move(addresses), client_options);
}

std::string ServerName(const ServerOptions& options) { return Escape(options.address); }

}  // namespace tensorferry::cli
