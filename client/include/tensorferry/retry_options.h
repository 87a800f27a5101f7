// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_RETRY_OPTIONS_H_
#define TENSORFERRY_RETRY_OPTIONS_H_

#include "absl/time/time.h"

namespace tensorferry {

// The budget for retries after failures that may be temporary:
// - a server that cannot be reached, is overloaded, or breaks a stream off
// - a checksum that does not match: DATA_LOSS, at most twice in a row
//
// A fetch resumes at the first missing byte, of the same generation. Any byte that arrives renews the whole budget.
// Other errors are final, for example a missing tensor or a model that changed. No call outlasts its own timeout.
struct RetryOptions {
  // A call ends after this many failures in a row; 1: no retries. With the default delays, about 30 attempts fit into
  // `max_time_without_progress`. By default the time ends a call, so that a server may take that long to restart.
  int max_attempts = 100;
  // A call ends when this much time has passed since the first failure in a row.
  absl::Duration max_time_without_progress = absl::Seconds(60);
  // The delay before an attempt is random, from 0 to a limit. The limit is `initial_delay` after the first failure, and
  // grows by `multiplier` with each further one, up to `max_delay`.
  absl::Duration initial_delay = absl::Milliseconds(100);
  absl::Duration max_delay = absl::Seconds(5);
  double multiplier = 2;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_RETRY_OPTIONS_H_
