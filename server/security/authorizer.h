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

// What a call says of who makes it.
struct Caller {
  // The names in the client's certificate (subject alternative names, then the common name), if it had to show one.
  std::vector<std::string> certificate_names;
  // The values of the metadata `authorization`.
  std::vector<std::string> authorization;
};

Caller CallerOf(const grpc::ServerContextBase& context);

// Which models a caller may read.
class Permissions {
 public:
  // nullptr: all of them.
  explicit Permissions(std::shared_ptr<const Grant> grant) : grant_(std::move(grant)) {}

  bool MayRead(std::string_view model) const { return grant_ == nullptr || grant_->MayRead(model); }

 private:
  std::shared_ptr<const Grant> grant_;
};

// Decides who may call, and what for. Safe for concurrent use by multiple threads.
class Authorizer {
 public:
  // `allowed_clients` are names in certificates, compared as they are; none: every client that got this far may call.
  // No `tokens`: none is needed.
  Authorizer(std::vector<std::string> allowed_clients, std::unique_ptr<TokenFile> tokens)
      : allowed_clients_(std::move(allowed_clients)), tokens_(std::move(tokens)) {}

  // Errors: PERMISSION_DENIED: no name in the certificate is allowed; UNAUTHENTICATED: no token, or not one of ours.
  absl::StatusOr<Permissions> Check(const Caller& caller) const;

 private:
  const std::vector<std::string> allowed_clients_;
  const std::unique_ptr<TokenFile> tokens_;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_SECURITY_AUTHORIZER_H_
