// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_ERROR_DETAILS_H_
#define TENSORFERRY_ERROR_DETAILS_H_

#include <optional>
#include <string>

#include "absl/status/status.h"

namespace tensorferry {

// Facts about an error of a call, for programs: its message has them in words.
struct ErrorDetails {
  // The address of the server that the last attempt went to.
  std::string server;
  // How many attempts were made, this one included, since the call began or last made progress.
  int attempts = 1;
  // True if the same call may succeed later, without any change by the caller.
  bool may_be_temporary = false;
};

// Returns the details that `status` carries, or nothing if it is OK or did not come from a server.
std::optional<ErrorDetails> ErrorDetailsOf(const absl::Status& status);

}  // namespace tensorferry

#endif  // TENSORFERRY_ERROR_DETAILS_H_
