// SPDX-License-Identifier: Apache-2.0
#include "client/channel/automatic_connections.h"

#include <algorithm>

namespace tensorferry {
namespace {

// A new connection costs a handshake and a slow start. A smaller share of the bytes does not repay that.
constexpr std::int64_t kMinBytesPerConnection = 32 << 20;

}  // namespace

int AutomaticConnections(std::int64_t size_bytes, bool encrypted, int cores) {
  // A plaintext connection keeps one core busy here. With TLS, the cores are the bottleneck: a byte takes several times
  // as long.
  const int limit = std::clamp(encrypted ? cores : cores / 2, 1, kMaxAutomaticConnections);
  return static_cast<int>(std::clamp<std::int64_t>(size_bytes / kMinBytesPerConnection, 1, limit));
}

}  // namespace tensorferry
