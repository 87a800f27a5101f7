// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_CLIENT_CHANNEL_ATTACH_DETAILS_H_
#define TENSORFERRY_CLIENT_CHANNEL_ATTACH_DETAILS_H_

#include "absl/status/status.h"
#include "tensorferry/error_details.h"

namespace tensorferry {

// Returns `status`, which is not OK, with these details, which ErrorDetailsOf returns.
absl::Status WithDetails(absl::Status status, const ErrorDetails& details);

}  // namespace tensorferry

#endif  // TENSORFERRY_CLIENT_CHANNEL_ATTACH_DETAILS_H_
