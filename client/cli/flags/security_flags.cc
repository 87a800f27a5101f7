// SPDX-License-Identifier: Apache-2.0
#include "client/cli/flags/security_flags.h"

#include <CLI/CLI.hpp>
#include <string>

namespace tensorferry::cli {

void SecurityFlags::Apply(ClientOptions& options) const {
  const TlsOptions& given = tls_options;
  if (tls || !given.ca_file.empty() || !given.certificate_file.empty() || !given.server_name.empty()) {
    options.tls = given;
  }
  options.token = token;
  options.proxy_from_environment = proxy_from_environment;
}

void AddSecurityFlags(CLI::App& command, SecurityFlags& flags) {
  // An empty value, of a shell variable that is not set perhaps, must not mean "without TLS".
  const CLI::Validator not_empty(
      [](const std::string& text) { return std::string(text.empty() ? "it must not be empty" : ""); }, "");
  TlsOptions& tls = flags.tls_options;
  command.add_flag("--tls", flags.tls, "Use TLS; the flags --tls-... imply it; default: plaintext")
      ->envname("TENSORFERRY_TLS");
  command
      .add_option("--tls-ca", tls.ca_file,
                  "PEM file with the authorities that may vouch for the server; default: those of the system")
      ->type_name("FILE")
      ->check(not_empty)
      ->envname("TENSORFERRY_TLS_CA");
  CLI::Option* const certificate =
      command.add_option("--tls-cert", tls.certificate_file, "PEM file with the client certificate; default: none")
          ->type_name("FILE")
          ->check(not_empty)
          ->envname("TENSORFERRY_TLS_CERT");
  CLI::Option* const key =
      command.add_option("--tls-key", tls.key_file, "PEM file with the private key of --tls-cert; default: none")
          ->type_name("FILE")
          ->check(not_empty)
          ->envname("TENSORFERRY_TLS_KEY");
  certificate->needs(key);
  key->needs(certificate);
  command
      .add_option("--tls-server-name", tls.server_name,
                  "The name that the server's certificate must have; default: the host of --server")
      ->type_name("NAME")
      ->check(not_empty)
      ->envname("TENSORFERRY_TLS_SERVER_NAME");
  command
      .add_option("--token-file", flags.token.file,
                  "File with the bearer token, and nothing else, to send with each call; default: none")
      ->type_name("FILE")
      ->check(not_empty)
      ->envname("TENSORFERRY_TOKEN_FILE");
  command
      .add_flag("--plaintext-token", flags.token.allow_plaintext,
                "Send the token without TLS, too, to a server on another machine; default: no")
      ->envname("TENSORFERRY_PLAINTEXT_TOKEN");
  command
      .add_flag("--proxy", flags.proxy_from_environment,
                "Reach the server through the proxy that grpc_proxy, https_proxy or http_proxy names; default: these "
                "variables have no effect")
      ->envname("TENSORFERRY_PROXY");
}

}  // namespace tensorferry::cli
