// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_SECURITY_AUTHORIZER_H_
#define TENSORFERRY_SERVER_SECURITY_AUTHORIZER_H_

#include <grpcpp/server_context.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/security/token_file.h"

namespace tensorferry::server {

// The credentials of a call.
struct Caller {
  // Names in the client's certificate: subject alternative names, then the common name. Empty without mutual TLS.
  std::vector<std::string> certificate_names;
  // The values of the metadata `authorization`.
  std::vector<std::string> authorization;
};

Caller CallerOf(const grpc::ServerContextBase& context);

// The models that a caller may read, and the caller's name.
class Permissions {
 public:
  // `grant` nullptr: all models.
  explicit Permissions(std::shared_ptr<const Grant> grant, std::string client = {})
      : grant_(std::move(grant)), client_(std::move(client)) {}

  bool MayRead(std::string_view model) const { return grant_ == nullptr || grant_->MayRead(model); }
  // Returns the name of the caller's token. Without tokens, a name in the certificate; without both, an empty string.
  const std::string& client() const { return client_; }

 private:
  std::shared_ptr<const Grant> grant_;
  std::string client_;
};

// Decides which callers may read which models. Safe for concurrent use by multiple threads.
class Authorizer {
 public:
  // `allowed_clients` are names in certificates, which must match exactly; empty: any. `tokens` nullptr: callers need
  // no token.
  Authorizer(std::vector<std::string> allowed_clients, std::unique_ptr<TokenFile> tokens)
      : allowed_clients_(std::move(allowed_clients)), tokens_(std::move(tokens)) {}

  // Errors: PERMISSION_DENIED: no name in the certificate is allowed; UNAUTHENTICATED: no token, or an unknown one.
  absl::StatusOr<Permissions> Check(const Caller& caller) const;

 private:
  const std::vector<std::string> allowed_clients_;
  const std::unique_ptr<TokenFile> tokens_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_SECURITY_AUTHORIZER_H_
