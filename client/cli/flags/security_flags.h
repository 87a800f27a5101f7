// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CLI_FLAGS_SECURITY_FLAGS_H_
#define TENSORFERRY_CLIENT_CLI_FLAGS_SECURITY_FLAGS_H_

#include <CLI/App.hpp>

#include "tensorferry/client.h"
#include "tensorferry/security_options.h"

namespace tensorferry::cli {

// The flags for TLS, the bearer token and the proxy.
struct SecurityFlags {
  // Set or not: any of the files or the name in `tls_options` turns TLS on, too.
  bool tls = false;
  TlsOptions tls_options;
  TokenOptions token;
  bool proxy_from_environment = false;

  // Sets the options that the flags stand for.
  void Apply(ClientOptions& options) const;
};

// Adds the flags to `command`, which must not outlive `flags`.
void AddSecurityFlags(CLI::App& command, SecurityFlags& flags);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLIENT_CLI_FLAGS_SECURITY_FLAGS_H_
