// SPDX-License-Identifier: Apache-2.0
#include "client/channel/automatic_connections.h"

#include <algorithm>

namespace tensorferry {
namespace {

// A connection that was not used yet costs a handshake and a slow start: less than this is not worth one.
constexpr std::int64_t kMinBytesPerConnection = 32 << 20;

}  // namespace

int AutomaticConnections(std::int64_t size_bytes, bool encrypted, int cores) {
  // A connection keeps a core busy here, and another at the server. TLS takes several times as long for a byte.
  const int gainful = std::clamp(encrypted ? cores : cores / 2, 1, kMaxAutomaticConnections);
  return static_cast<int>(std::clamp<std::int64_t>(size_bytes / kMinBytesPerConnection, 1, gainful));
}

}  // namespace tensorferry
