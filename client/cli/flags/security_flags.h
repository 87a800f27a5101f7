// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_FLAGS_SECURITY_FLAGS_H_
#define TENSORFERRY_CLIENT_CLI_FLAGS_SECURITY_FLAGS_H_

#include <CLI/App.hpp>

#include "tensorferry/client.h"
#include "tensorferry/security_options.h"

namespace tensorferry::cli {

// How a command speaks to its server: TLS or not, and with which token.
struct SecurityFlags {
  // Any of the files or the name asks for TLS, too.
  bool tls = false;
  TlsOptions tls_options;
  TokenOptions token;
  bool proxy_from_environment = false;

  void Apply(ClientOptions& options) const;
};

// Adds them to `command`, which must not outlive `flags`.
void AddSecurityFlags(CLI::App& command, SecurityFlags& flags);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_FLAGS_SECURITY_FLAGS_H_
