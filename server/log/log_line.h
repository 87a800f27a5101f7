// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_LOG_LOG_LINE_H_
#define TENSORFERRY_SERVER_LOG_LOG_LINE_H_

#include <span>
#include <string>
#include <string_view>

#include "server/log/log_field.h"

namespace tensorferry::server {

// What a line of the log says after its time and its level. Whatever the texts hold, it is one line and harmless to a
// terminal.

// The message and its fields, as logfmt does: model added model=m tensors=3 error="it has \"quotes\"". Quoted texts are
// strings of JSON.
std::string TextLine(std::string_view message, std::span<const LogField> fields);

// The same as members of a JSON object: "message":"model added","model":"m","tensors":3
std::string JsonMembers(std::string_view message, std::span<const LogField> fields);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_LOG_LOG_LINE_H_
