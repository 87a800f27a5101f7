// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SECURITY_OPTIONS_H_
#define TENSORFERRY_SECURITY_OPTIONS_H_

#include <string>

namespace tensorferry {

// The client's side of TLS. Files are PEM. They are reloaded when they change, and new connections use the new
// contents.
struct TlsOptions {
  // The authorities that the server's certificate must come from. Empty: those that the system trusts.
  std::string ca_file = {};
  // The client's certificate chain, its own certificate first, and its private key: both or neither. For servers that
  // require client certificates.
  std::string certificate_file = {};
  std::string key_file = {};
  // The name that the server's certificate must have. Empty: the host in the address.
  std::string server_name = {};
};

// The bearer token that a client sends with each call. Anybody who reads a token can use it. At most one of `token` and
// `file` may be set.
struct TokenOptions {
  std::string token = {};
  // A file that contains the token alone; whitespace around it is ignored. The file is read again for each call.
  std::string file = {};
  // Without TLS, a token is sent to loopback addresses only. Set this to true if the network is trusted.
  bool allow_plaintext = false;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_SECURITY_OPTIONS_H_
