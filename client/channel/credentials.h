// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CHANNEL_CREDENTIALS_H_
#define TENSORFERRY_CLIENT_CHANNEL_CREDENTIALS_H_

#include <grpcpp/security/credentials.h>

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "client/channel/token_source.h"
#include "tensorferry/security_options.h"

namespace tensorferry {

// The credentials that all connections of a client use: to verify the server, and to authenticate the client.
struct Credentials {
  std::shared_ptr<grpc::ChannelCredentials> channel;
  bool encrypted = false;
  // The name that the server's certificate must have. Empty: the host in the address.
  std::string server_name;
  // True if connections use the proxy that the environment names.
  bool proxy_from_environment = false;
  TokenSource tokens;
};

// Returns the credentials for these options, after validating their files. Without `tls`, connections are plaintext.
// Errors: INVALID_ARGUMENT: a certificate without its key, an invalid file, an expired certificate; those of reading
// the files.
absl::StatusOr<std::shared_ptr<const Credentials>> MakeCredentials(const std::optional<TlsOptions>& tls,
                                                                   const TokenOptions& token,
                                                                   bool proxy_from_environment);

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_CHANNEL_CREDENTIALS_H_
