// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_LOG_LOG_H_
#define TENSORFERRY_SERVER_LOG_LOG_H_

#include <initializer_list>
#include <string>
#include <string_view>

#include "server/log/log_field.h"

namespace tensorferry::server {

// Options of the log.
struct LogOptions {
  // "text": logfmt; "json": one object per line.
  std::string format = "text";
  // debug, info, warning or error: the least severe level that is logged.
  std::string level = "info";
};

// Configures the log: one line per message on stderr, with RFC 3339 time in UTC, level, message and fields. gRPC's
// messages are logged through it. Call once, before anything is logged.
void StartLog(const LogOptions& options);

// Logs one line. The message is the event, always in the same words. The fields are its objects:
//   LogError("model cannot be served", {{"model", name}, {"error", status}});
// Safe to call from any thread.
void LogInfo(std::string_view message, std::initializer_list<LogField> fields = {});
void LogWarning(std::string_view message, std::initializer_list<LogField> fields = {});
void LogError(std::string_view message, std::initializer_list<LogField> fields = {});

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_LOG_LOG_H_
