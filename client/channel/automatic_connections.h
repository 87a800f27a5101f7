// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CHANNEL_AUTOMATIC_CONNECTIONS_H_
#define TENSORFERRY_CLIENT_CHANNEL_AUTOMATIC_CONNECTIONS_H_

#include <cstdint>

namespace tensorferry {

// The most connections that an automatic choice makes.
inline constexpr int kMaxAutomaticConnections = 16;

// Returns how many connections a fetch of so many bytes gains from on a machine of `cores`: a function of its arguments
// alone. The benchmarks' workload `connections` measures it.
int AutomaticConnections(std::int64_t size_bytes, bool encrypted, int cores);

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_CHANNEL_AUTOMATIC_CONNECTIONS_H_
