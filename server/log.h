// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_LOG_H_
#define TENSORFERRY_SERVER_LOG_H_

#include <string>

namespace tensorferry::server {

// Makes spdlog's default logger write one line a message to stderr (RFC 3339 time in UTC, level, message), as text or,
// with `format` "json", as an object, of `level` (debug, info, warning or error) and above, and sends what gRPC has to
// say through it. To be called once, before anything is logged.
void StartLog(const std::string& format, const std::string& level);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_LOG_H_
