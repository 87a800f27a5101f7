// SPDX-License-Identifier: Apache-2.0
#include "tensorferry/error_details.h"

#include <charconv>
#include <cstddef>
#include <string_view>

#include "absl/strings/cord.h"
#include "client/channel/attach_details.h"

namespace tensorferry {
namespace {

// Both are printed with a status, so they are readable.
constexpr char kTypeUrl[] = "tensorferry";
constexpr std::string_view kTemporary = "may be temporary, attempts: ";
constexpr std::string_view kFinal = "final, attempts: ";
constexpr std::string_view kServer = ", server: ";

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

}  // namespace tensorferry
