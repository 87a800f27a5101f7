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

// The token of `Bearer TOKEN`; the scheme's name may be written in any case.
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
  if (!allowed_clients_.empty()) {
    const std::vector<std::string>& names = caller.certificate_names;
    if (std::ranges::find_first_of(names, allowed_clients_) == names.end()) {
      return absl::PermissionDeniedError(fmt::format("the client certificate of {} is not one that may call",
                                                     names.empty() ? "nobody" : Quote(names.front())));
    }
  }
  if (tokens_ == nullptr) return Permissions(nullptr);
  if (caller.authorization.empty()) {
    return absl::UnauthenticatedError("a bearer token is needed (metadata \"authorization: Bearer TOKEN\")");
  }
  // Two of them would leave open which one counts.
  const std::optional<std::string_view> token =
      caller.authorization.size() == 1 ? BearerToken(caller.authorization.front()) : std::nullopt;
  if (!token) return absl::UnauthenticatedError("the metadata \"authorization\" is not one \"Bearer TOKEN\"");
  std::shared_ptr<const Grant> grant = tokens_->Current()->Find(*token);
  if (grant == nullptr) return absl::UnauthenticatedError("the bearer token is not known");
  return Permissions(std::move(grant));
}

}  // namespace tensorferry::server
