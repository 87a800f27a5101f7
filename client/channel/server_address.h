// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CHANNEL_SERVER_ADDRESS_H_
#define TENSORFERRY_CLIENT_CHANNEL_SERVER_ADDRESS_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tensorferry {

// Returns the address of one server as gRPC reads it, with port 7070 if it has none. Takes host, host:port,
// [ipv6]:port, tensorferry://host:port, unix:PATH and gRPC's schemes dns:, ipv4: and ipv6:. Errors: INVALID_ARGUMENT:
// the address is empty or has another scheme, for example http://.
absl::StatusOr<std::string> ParseServerAddress(std::string_view address);

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_CHANNEL_SERVER_ADDRESS_H_
