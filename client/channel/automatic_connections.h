// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CHANNEL_AUTOMATIC_CONNECTIONS_H_
#define TENSORFERRY_CLIENT_CHANNEL_AUTOMATIC_CONNECTIONS_H_

#include <cstdint>

namespace tensorferry {

// The largest automatic number of connections.
inline constexpr int kMaxAutomaticConnections = 16;

// Returns the number of connections for a fetch of `size_bytes` on a machine with `cores` cores. A function of its
// arguments alone. The workload `connections` of the benchmarks measures the gain of connections.
int AutomaticConnections(std::int64_t size_bytes, bool encrypted, int cores);

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_CHANNEL_AUTOMATIC_CONNECTIONS_H_
