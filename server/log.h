// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_LOG_H_
#define TENSORFERRY_SERVER_LOG_H_

#include <initializer_list>
#include <string>
#include <string_view>

#include "server/log_field.h"

namespace tensorferry::server {

// Makes the log one line a message on stderr (RFC 3339 time in UTC, level, message, fields), as text or, with `format`
// "json", as an object, of `level` (debug, info, warning or error) and above, and sends what gRPC has to say through
// it. To be called once, before anything is logged.
void StartLog(const std::string& format, const std::string& level);

// A line of the log. What happened is the message, always in the same words; what it happened to are the fields:
//   LogError("model cannot be served", {{"model", name}, {"error", status}});
// Safe to call from any thread.
void LogInfo(std::string_view message, std::initializer_list<LogField> fields = {});
void LogWarning(std::string_view message, std::initializer_list<LogField> fields = {});
void LogError(std::string_view message, std::initializer_list<LogField> fields = {});

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_LOG_H_
