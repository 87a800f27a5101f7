// SPDX-License-Identifier: Apache-2.0
#include "client/channel/connection_hint.h"

namespace tensorferry {
namespace {

bool Contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace

std::string_view ConnectionHint(std::string_view message, bool encrypted) {
  // The words for one server, and for those that a name stands for.
  if (!Contains(message, "failed to connect") && !Contains(message, "connections to all backends failing")) return {};
  if (!encrypted) {
    // A server that expects TLS closes a connection that begins otherwise.
    return Contains(message, "Socket closed") ? " (does the server want TLS?)" : "";
  }
  if (Contains(message, "certificate verify failed")) {
    return " (the server's certificate is not of an authority that is trusted here, or it has expired)";
  }
  if (Contains(message, "Hostname Verification Check failed")) {
    return " (the server's certificate is for another name)";
  }
  if (Contains(message, "wrong version number")) return " (the server does not speak TLS)";
  // With TLS 1.3 a client is done with its handshake before the server has looked at its certificate.
  if (Contains(message, "Socket closed")) return " (does the server want a client certificate, or another one?)";
  return {};
}

}  // namespace tensorferry
