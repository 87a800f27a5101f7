// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_LIB_SECURITY_LOOPBACK_H_
#define TENSORFERRY_LIB_SECURITY_LOOPBACK_H_

#include <string_view>

namespace tensorferry {

// Whether what is sent to the address stays on this machine: unix:PATH, or localhost, 127.0.0.0/8 or ::1 with a port.
// gRPC's spellings dns:name, dns:///name, ipv4: and ipv6: count too.
bool IsLoopback(std::string_view address);

// Whether the address names a unix socket, as gRPC spells it.
bool IsUnixSocket(std::string_view address);

}  // namespace tensorferry

#endif  // TENSORFERRY_LIB_SECURITY_LOOPBACK_H_
