// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_ERROR_DETAILS_H_
#define TENSORFERRY_ERROR_DETAILS_H_

#include <optional>
#include <string>

#include "absl/status/status.h"

namespace tensorferry {

// Facts about the error of a call, for programs. The message contains them for people.
struct ErrorDetails {
  // The address of the server that the last attempt went to.
  std::string server;
  // The number of attempts since the call began or last made progress, including the last one.
  int attempts = 1;
  // True if the same call may succeed later, without any change by the caller.
  bool may_be_temporary = false;
};

// Returns the details of `status`, or nothing if it is OK or did not come from a call to a server.
std::optional<ErrorDetails> ErrorDetailsOf(const absl::Status& status);

}  // namespace tensorferry

#endif  // TENSORFERRY_ERROR_DETAILS_H_
