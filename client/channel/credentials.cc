// SPDX-License-Identifier: Apache-2.0
//
// The only file of the client that uses gRPC's experimental API, because only that API reloads changed files.
#include "client/channel/credentials.h"

#include <fmt/format.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "lib/text/quote.h"
#include "lib/tls/pem.h"

namespace tensorferry {
namespace {

// The interval at which gRPC checks the files for changes.
constexpr unsigned kRefreshSeconds = 1;

// Validates the files. With invalid files, gRPC would only report that connections fail.
absl::Status CheckFiles(const TlsOptions& tls) {
  if (tls.certificate_file.empty() != tls.key_file.empty()) {
    return absl::InvalidArgumentError("give both a client certificate and its private key, or neither");
  }
  if (!tls.ca_file.empty()) {
    const absl::StatusOr<Pem> authorities = ReadPem(tls.ca_file);
    if (!authorities.ok()) return authorities.status();
    if (absl::Status status = CheckAuthorities(*authorities); !status.ok()) return status;
  }
  if (tls.certificate_file.empty()) return absl::OkStatus();
  const absl::StatusOr<Pem> certificate = ReadPem(tls.certificate_file);
  if (!certificate.ok()) return certificate.status();
  const absl::StatusOr<Pem> key = ReadPem(tls.key_file);
  if (!key.ok()) return key.status();
  const absl::StatusOr<Validity> validity = CheckKeyPair(*certificate, *key);
  if (!validity.ok()) return validity.status();
  if (absl::Now() <= validity->not_after) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("file {}: the certificate expired at {}", Quote(tls.certificate_file),
                                                absl::FormatTime(validity->not_after, absl::UTCTimeZone())));
}

std::shared_ptr<grpc::ChannelCredentials> TlsChannelCredentials(const TlsOptions& tls) {
  grpc::experimental::TlsChannelCredentialsOptions options;
  if (!tls.ca_file.empty() || !tls.certificate_file.empty()) {
    options.set_certificate_provider(std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
        tls.key_file, tls.certificate_file, tls.ca_file, kRefreshSeconds));
  }
  if (!tls.ca_file.empty()) options.watch_root_certs();
  if (!tls.certificate_file.empty()) options.watch_identity_key_cert_pairs();
  return grpc::experimental::TlsCredentials(options);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Credentials>> MakeCredentials(const std::optional<TlsOptions>& tls,
                                                                   const TokenOptions& token,
                                                                   bool proxy_from_environment) {
  absl::StatusOr<TokenSource> tokens = TokenSource::Create(token);
  if (!tokens.ok()) return tokens.status();
  if (!tls) {
    return std::make_shared<const Credentials>(Credentials{.channel = grpc::InsecureChannelCredentials(),
                                                           .encrypted = false,
                                                           .server_name = {},
                                                           .proxy_from_environment = proxy_from_environment,
                                                           .tokens = *std::move(tokens)});
  }
  if (absl::Status status = CheckFiles(*tls); !status.ok()) return status;
  return std::make_shared<const Credentials>(Credentials{.channel = TlsChannelCredentials(*tls),
                                                         .encrypted = true,
                                                         .server_name = tls->server_name,
                                                         .proxy_from_environment = proxy_from_environment,
                                                         .tokens = *std::move(tokens)});
}

}  // namespace tensorferry
