// SPDX-License-Identifier: Apache-2.0
#include "server/security/authorizer.h"

#include <fmt/format.h>
#include <grpc/grpc_security_constants.h>

#include <algorithm>
#include <optional>

#include "absl/status/status.h"
#include "lib/text/quote.h"

namespace tensorferry::server {
namespace {

// Returns the token of `Bearer TOKEN`, or nothing. The scheme may be in upper or lower case.
std::optional<std::string_view> BearerToken(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() <= kScheme.size()) return std::nullopt;
  const bool matches = std::ranges::equal(kScheme, authorization.substr(0, kScheme.size()), [](char ours, char theirs) {
    return ours == (theirs >= 'A' && theirs <= 'Z' ? static_cast<char>(theirs - 'A' + 'a') : theirs);
  });
  if (!matches) return std::nullopt;
  authorization.remove_prefix(kScheme.size());
  authorization.remove_prefix(std::min(authorization.find_first_not_of(' '), authorization.size()));
  return authorization;
}

}  // namespace

Caller CallerOf(const grpc::ServerContextBase& context) {
  Caller caller;
  if (const auto identity = context.auth_context(); identity != nullptr) {
    for (const char* property : {GRPC_X509_SAN_PROPERTY_NAME, GRPC_X509_CN_PROPERTY_NAME}) {
      for (const grpc::string_ref& name : identity->FindPropertyValues(property)) {
        caller.certificate_names.emplace_back(name.data(), name.size());
      }
    }
  }
  const auto [begin, end] = context.client_metadata().equal_range("authorization");
  for (auto value = begin; value != end; ++value) {
    caller.authorization.emplace_back(value->second.data(), value->second.size());
  }
  return caller;
}

absl::StatusOr<Permissions> Authorizer::Check(const Caller& caller) const {
  const std::vector<std::string>& names = caller.certificate_names;
  auto name = names.begin();
  if (!allowed_clients_.empty()) {
    name = std::ranges::find_first_of(names, allowed_clients_);
    if (name == names.end()) {
      return absl::PermissionDeniedError(
          names.empty()
              ? "no client certificate; --allowed-clients of the server requires one"
              : fmt::format("client certificate {} is not in --allowed-clients of the server", Quote(names.front())));
    }
  }
  if (tokens_ == nullptr) return Permissions(nullptr, name == names.end() ? std::string() : *name);
  if (caller.authorization.empty()) {
    return absl::UnauthenticatedError(
        "the server requires a bearer token (metadata \"authorization: Bearer TOKEN\"): --token-file FILE");
  }
  // Of two values, it would be unclear which one counts.
  const std::optional<std::string_view> token =
      caller.authorization.size() == 1 ? BearerToken(caller.authorization.front()) : std::nullopt;
  if (!token) return absl::UnauthenticatedError("metadata \"authorization\" is not a single \"Bearer TOKEN\"");
  std::shared_ptr<const Grant> grant = tokens_->Current()->Find(*token);
  if (grant == nullptr) return absl::UnauthenticatedError("unknown bearer token");
  std::string client = grant->name();
  return Permissions(std::move(grant), std::move(client));
}

}  // namespace tensorferry::server
