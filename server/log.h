// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_LOG_H_
#define TENSORFERRY_SERVER_LOG_H_

namespace tensorferry::server {

// Makes spdlog's default logger write one line a message to stderr (RFC 3339 time, level, message) and sends what gRPC
// has to say through it. To be called once, before anything is logged.
void StartLog();

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_LOG_H_
