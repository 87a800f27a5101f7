// SPDX-License-Identifier: Apache-2.0
#include "server/service/get_slice.h"

#include "absl/status/status.h"

namespace tensorferry::server {

absl::StatusOr<StreamPlan> PlanGetSlice(const Catalog& catalog, const v1::GetSliceRequest& request) {
  if (!request.has_read()) return absl::InvalidArgumentError("the request has no read");
  return PlanOneRead(catalog, request.model(), request.generation(), request.read());
}

}  // namespace tensorferry::server
