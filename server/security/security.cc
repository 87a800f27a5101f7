// SPDX-License-Identifier: Apache-2.0
#include "server/security/security.h"

#include <fmt/format.h>

#include <utility>

#include "absl/status/status.h"
#include "lib/net/endpoint.h"
#include "lib/text/quote.h"
#include "server/net/listen_address.h"
#include "server/security/tls.h"

namespace tensorferry::server {
namespace {

// Refuses plaintext that was not asked for.
absl::Status CheckPlaintext(const SecurityOptions& options, const std::string& listen) {
  if (!options.tls.certificate.empty() || options.insecure) return absl::OkStatus();
  if (!IsLoopback(listen)) {
    return absl::InvalidArgumentError(
        fmt::format("cannot listen on {}: not a loopback address, and no TLS; give --tls-cert and --tls-key, or "
                    "--insecure to serve "
                    "everybody in plaintext",
                    Quote(listen)));
  }
  if (!options.token_file.empty()) {
    return absl::InvalidArgumentError(
        "tokens would be sent in plaintext; give --tls-cert and --tls-key, or --insecure to allow it");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> CredentialsFor(const SecurityOptions& options,
                                                                        Metrics& metrics) {
  if (options.tls.certificate.empty()) return grpc::InsecureServerCredentials();
  return TlsCredentials(options.tls, metrics);
}

absl::StatusOr<std::unique_ptr<const Authorizer>> AuthorizerFor(const SecurityOptions& options, Metrics& metrics) {
  std::unique_ptr<TokenFile> tokens;
  if (!options.token_file.empty()) {
    absl::StatusOr<std::unique_ptr<TokenFile>> opened = TokenFile::Open(options.token_file, metrics);
    if (!opened.ok()) return opened.status();
    tokens = *std::move(opened);
  }
  return std::make_unique<const Authorizer>(options.allowed_clients, std::move(tokens));
}

}  // namespace

absl::StatusOr<Security> OpenSecurity(const SecurityOptions& options, const std::string& listen, Metrics& metrics) {
  if (absl::Status status = CheckListenAddress(listen); !status.ok()) return status;
  if (absl::Status status = CheckPlaintext(options, listen); !status.ok()) return status;
  absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> credentials = CredentialsFor(options, metrics);
  if (!credentials.ok()) return credentials.status();
  absl::StatusOr<std::unique_ptr<const Authorizer>> authorizer = AuthorizerFor(options, metrics);
  if (!authorizer.ok()) return authorizer.status();
  return Security{.credentials = *std::move(credentials), .authorizer = *std::move(authorizer)};
}

}  // namespace tensorferry::server
