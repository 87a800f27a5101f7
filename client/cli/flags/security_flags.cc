// SPDX-License-Identifier: Apache-2.0
#include "client/cli/flags/security_flags.h"

#include <CLI/CLI.hpp>
#include <string>

#include "client/cli/flags/validators.h"

namespace tensorferry::cli {
namespace {

constexpr char kGroup[] = "Security";

CLI::Option* AddText(CLI::App& command, const char* flag, const char* type, const char* variable, std::string& value,
                     const char* description) {
  return command.add_option(flag, value, description)
      ->group(kGroup)
      ->type_name(type)
      ->envname(variable)
      ->check(NotEmpty());
}

}  // namespace

void SecurityFlags::Apply(ClientOptions& options) const {
  const TlsOptions& given = tls_options;
  if (tls || !given.ca_file.empty() || !given.certificate_file.empty() || !given.server_name.empty()) {
    options.tls = given;
  }
  options.token = token;
  options.proxy_from_environment = proxy_from_environment;
}

void AddSecurityFlags(CLI::App& command, SecurityFlags& flags) {
  TlsOptions& tls = flags.tls_options;
  command.add_flag("--tls", flags.tls, "Use TLS. The other --tls flags imply it.")
      ->group(kGroup)
      ->envname("TENSORFERRY_TLS");
  AddText(command, "--tls-ca", "FILE", "TENSORFERRY_TLS_CA", tls.ca_file,
          "PEM file with the CAs to trust for the server's certificate.")
      ->default_str("the system's CAs");
  CLI::Option* const certificate =
      AddText(command, "--tls-cert", "FILE", "TENSORFERRY_TLS_CERT", tls.certificate_file,
              "PEM file with the client's certificate chain, its own first. Requires --tls-key.");
  CLI::Option* const key = AddText(command, "--tls-key", "FILE", "TENSORFERRY_TLS_KEY", tls.key_file,
                                   "PEM file with the private key of --tls-cert.");
  certificate->needs(key);
  key->needs(certificate);
  AddText(command, "--tls-server-name", "NAME", "TENSORFERRY_TLS_SERVER_NAME", tls.server_name,
          "Name that the server's certificate must have.")
      ->default_str("the host of --server");
  AddText(command, "--token-file", "FILE", "TENSORFERRY_TOKEN_FILE", flags.token.file,
          "File with the bearer token to send: the token alone, without the NAME of a server's token file.");
  command
      .add_flag("--plaintext-token", flags.token.allow_plaintext,
                "Send the token without TLS, even to another machine. Safe only in a trusted network.")
      ->group(kGroup)
      ->envname("TENSORFERRY_PLAINTEXT_TOKEN");
  command
      .add_flag("--proxy", flags.proxy_from_environment,
                "Connect through the proxy in grpc_proxy, https_proxy or http_proxy. Without this flag, these "
                "variables have no effect.")
      ->group(kGroup)
      ->envname("TENSORFERRY_PROXY");
}

}  // namespace tensorferry::cli
