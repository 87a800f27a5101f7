// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_LOG_LOG_LINE_H_
#define TENSORFERRY_SERVER_LOG_LOG_LINE_H_

#include <span>
#include <string>
#include <string_view>

#include "server/log/log_field.h"

namespace tensorferry::server {

// The part of a log line after its time and its level. It is one line and harmless to a terminal for any text.

// Returns the message and its fields in logfmt: model added model=m tensors=3 error="it has \"quotes\"". Quoted texts
// are JSON strings.
std::string TextLine(std::string_view message, std::span<const LogField> fields);

// Returns the same as members of a JSON object: "message":"model added","model":"m","tensors":3
std::string JsonMembers(std::string_view message, std::span<const LogField> fields);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_LOG_LOG_LINE_H_
