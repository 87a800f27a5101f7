// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_RETRY_OPTIONS_H_
#define TENSORFERRY_RETRY_OPTIONS_H_

#include "absl/time/time.h"

namespace tensorferry {

// How long a client goes on after failures that may pass: a server that is away, refuses for want of resources, or
// breaks a stream off. A fetch goes on at the first byte that is missing, on the same generation; any byte that arrives
// renews the whole budget. What cannot pass (a tensor that is not there, a model that changed) is not tried again, and
// no call outlasts its own timeout.
struct RetryOptions {
  // How many failures in a row end a call, from 1 (nothing is tried again).
  int max_attempts = 8;
  // A call ends, too, when this long has passed since the first failure in a row.
  absl::Duration max_time_without_progress = absl::Seconds(60);
  // The wait before another attempt is random, from nothing up to a limit: this one after the first failure,
  // `multiplier` times that after each further one, but never more than `max_delay`.
  absl::Duration initial_delay = absl::Milliseconds(100);
  absl::Duration max_delay = absl::Seconds(5);
  double multiplier = 2;
};

}  // namespace tensorferry

#endif  // TENSORFERRY_RETRY_OPTIONS_H_
