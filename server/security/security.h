// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_SECURITY_SECURITY_H_
#define TENSORFERRY_SERVER_SECURITY_SECURITY_H_

#include <grpcpp/security/server_credentials.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "server/metrics/metrics.h"
#include "server/security/authorizer.h"
#include "server/security/options.h"

namespace tensorferry::server {

// Authentication and authorization of a server's clients.
struct Security {
  std::shared_ptr<grpc::ServerCredentials> credentials;
  std::unique_ptr<const Authorizer> authorizer;
};

// Loads certificates and tokens. `listen` is the address that the server will listen on. `metrics` must outlive the
// result.
// Errors: INVALID_ARGUMENT: a malformed address, plaintext that needs `insecure`, an invalid certificate, key or token
// file; those of reading the files.
absl::StatusOr<Security> OpenSecurity(const SecurityOptions& options, const std::string& listen, Metrics& metrics);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_SECURITY_SECURITY_H_
