// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CHANNEL_CONNECTION_HINT_H_
#define TENSORFERRY_CLIENT_CHANNEL_CONNECTION_HINT_H_

#include <string_view>

namespace tensorferry {

// What a message in which gRPC says that it could not connect means for whoever has to mend it; empty if there is no
// more to say. `encrypted`: TLS was tried.
std::string_view ConnectionHint(std::string_view message, bool encrypted);

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_CHANNEL_CONNECTION_HINT_H_
