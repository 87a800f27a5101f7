// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_SECURITY_OPTIONS_H_
#define TENSORFERRY_SERVER_SECURITY_OPTIONS_H_

#include <string>
#include <vector>

namespace tensorferry::server {

// PEM files.
struct TlsFiles {
  // The server's certificate chain, leaf first. Empty: no TLS.
  std::string certificate;
  std::string private_key;
  // CAs. Clients need a certificate from one of them. Empty: clients need no certificate.
  std::string client_ca;
};

// Options for who may connect and call.
struct SecurityOptions {
  TlsFiles tls = {};
  // Names in client certificates. Empty: every certificate of the client CAs is accepted.
  std::vector<std::string> allowed_clients = {};
  // File of bearer tokens. Empty: no tokens.
  std::string token_file;
  // Permits plaintext on an address that is not loopback, and tokens in plaintext.
  bool insecure = false;
};

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_SECURITY_OPTIONS_H_
