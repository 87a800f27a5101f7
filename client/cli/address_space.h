// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLI_ADDRESS_SPACE_H_
#define TENSORFERRY_CLI_ADDRESS_SPACE_H_

#include <cstdint>

#include "absl/status/status.h"

namespace tensorferry::cli {

// Under a limit of address space (ulimit -v), gRPC ends the program when memory is denied to it, and waits for ever for
// a thread that it did not get. So there is to be enough before it is asked for anything; without a limit there is.
// Errors: RESOURCE_EXHAUSTED: there is not.

// For gRPC's threads and what so many connections have on its way. To be asked before the first connection.
absl::Status CheckRoomToConnect(int connections);

// For `size_bytes` more, beside what is on its way on so many connections.
absl::Status CheckRoomFor(std::int64_t size_bytes, int connections);

}  // namespace tensorferry::cli

#endif  // TENSORFERRY_CLI_ADDRESS_SPACE_H_
