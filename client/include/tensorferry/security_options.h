// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SECURITY_OPTIONS_H_
#define TENSORFERRY_SECURITY_OPTIONS_H_

#include <string>

namespace tensorferry {

// How a client speaks TLS. Files are PEM, and are read again when they change: new connections use what is in them
// then.
struct TlsOptions {
  // The authorities that may vouch for the server. Empty: those that the system trusts.
  std::string ca_file = {};
  // The client's own certificate chain (its own first) and private key, for servers that want one: both or neither.
  std::string certificate_file = {};
  std::string key_file = {};
  // The name that the server's certificate must have. Empty: the host in the address.
  std::string server_name = {};
};

// What a client says so that it is let in: a bearer token, which whoever reads it can use. At most one of the first
// two.
struct TokenOptions {
  std::string token = {};
  // A file that holds the token and nothing else but blanks around it. It is read again for each call.
  std::string file = {};
  // Without TLS, a token is sent to loopback addresses only, unless this says that the network is trusted.
  bool allow_plaintext = false;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_SECURITY_OPTIONS_H_
