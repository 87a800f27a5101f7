// SPDX-License-Identifier: Apache-2.0
#include "client/channel/call_error.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <cstddef>
#include <optional>
#include <utility>

#include "absl/strings/cord.h"
#include "client/channel/retry_policy.h"
#include "lib/text/quote.h"
#include "lib/wire/retry_info.h"

namespace tensorferry {
namespace {

// The details as a payload. A status prints its payloads, so the text is readable.
constexpr char kTypeUrl[] = "tensorferry";
constexpr std::string_view kTemporary = "may be temporary, attempts: ";
constexpr std::string_view kFinal = "final, attempts: ";
constexpr std::string_view kServer = ", server: ";

bool Contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// Returns the probable reason why gRPC could not connect, for the person who has to repair it. Empty if gRPC's text
// says all that is known. `encrypted`: TLS was tried.
std::string_view ConnectionHint(std::string_view message, bool encrypted) {
  if (Contains(message, "Trying to connect an http1.x server")) {
    return "this is an HTTP port, perhaps the admin port; the gRPC port is 7070 by default";
  }
  // gRPC's words for a single server, and for a name of several servers.
  if (!Contains(message, "failed to connect") && !Contains(message, "connections to all backends failing")) return {};
  if (Contains(message, "Connection refused")) return "nothing listens there: check the port, and that a server runs";
  if (!encrypted) {
    // A server that expects TLS closes a plaintext connection.
    return Contains(message, "Socket closed") ? "the server closed a plaintext connection, it may require TLS" : "";
  }
  if (Contains(message, "certificate verify failed")) {
    return "the server's certificate has expired, or its authority is not trusted here";
  }
  if (Contains(message, "Hostname Verification Check failed")) return "the server's certificate is for another name";
  if (Contains(message, "wrong version number")) return "the server does not speak TLS";
  // In TLS 1.3, the client completes its handshake before the server validates the client's certificate.
  if (Contains(message, "Socket closed")) {
    return "the server closed the connection, it may require a client certificate or reject this one";
  }
  return {};
}

absl::Status AddDetails(const Connection& connection, absl::Status status) {
  const bool may_be_temporary = RetryPolicy::IsRetryable(status) || absl::IsDeadlineExceeded(status);
  return WithDetails(std::move(status), {.server = connection.address(), .may_be_temporary = may_be_temporary});
}

}  // namespace

std::optional<ErrorDetails> ErrorDetailsOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kTypeUrl);
  if (!payload) return std::nullopt;
  const std::string text(*payload);
  std::string_view rest = text;
  ErrorDetails details;
  details.may_be_temporary = rest.starts_with(kTemporary);
  if (!details.may_be_temporary && !rest.starts_with(kFinal)) return std::nullopt;
  rest.remove_prefix(details.may_be_temporary ? kTemporary.size() : kFinal.size());
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), details.attempts);
  if (error != std::errc()) return std::nullopt;
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  if (!rest.starts_with(kServer)) return std::nullopt;
  details.server = std::string(rest.substr(kServer.size()));
  return details;
}

absl::Status WithDetails(absl::Status status, const ErrorDetails& details) {
  std::string text(details.may_be_temporary ? kTemporary : kFinal);
  text += std::to_string(details.attempts);
  text += kServer;
  text += details.server;
  status.SetPayload(kTypeUrl, absl::Cord(text));
  return status;
}

absl::Status WithAddress(const Connection& connection, const absl::Status& status) {
  const std::string message(status.message());
  const std::string_view hint = ConnectionHint(message, connection.encrypted());
  absl::Status named(status.code(), fmt::format("server {}: {}", Quote(connection.address()),
                                                hint.empty() ? message : fmt::format("{} ({})", hint, message)));
  if (const auto delay = wire::RetryDelayOf(status)) named = wire::WithRetryDelay(std::move(named), *delay);
  return AddDetails(connection, std::move(named));
}

absl::Status NameServer(const Connection& connection, const absl::Status& status) {
  const bool is_about_server =
      RetryPolicy::IsRetryable(status) || absl::IsDeadlineExceeded(status) || absl::IsUnimplemented(status);
  return is_about_server ? WithAddress(connection, status) : AddDetails(connection, status);
}

absl::Status ExplainTimeout(const absl::Status& status, absl::Duration timeout, std::string_view progress) {
  if (!absl::IsDeadlineExceeded(status) || timeout == absl::InfiniteDuration()) return status;
  absl::Status explained = absl::DeadlineExceededError(
      fmt::format("timed out after {}{} ({})", FormatSeconds(timeout), progress, std::string(status.message())));
  const std::optional<ErrorDetails> details = ErrorDetailsOf(status);
  return details ? WithDetails(std::move(explained), *details) : explained;
}

std::string FormatSeconds(absl::Duration duration) {
  const double seconds = absl::ToDoubleSeconds(duration);
  if (seconds <= 0) return "0 s";
  if (seconds < 1) return fmt::format("{:.0f} ms", seconds * 1000);
  return fmt::format("{:.10g} s", std::round(seconds * 10) / 10);
}

}  // namespace tensorferry
