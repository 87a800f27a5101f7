// SPDX-License-Identifier: Apache-2.0
#include "server/service/get_tensor.h"

#include "absl/status/status.h"

namespace tensorferry::server {

absl::StatusOr<StreamPlan> PlanGetTensor(const Catalog& catalog, const v1::GetTensorRequest& request) {
  if (!request.has_read()) return absl::InvalidArgumentError("the request has no read");
  if (request.read().has_slice()) {
    return absl::InvalidArgumentError("the read has a slice: GetTensor streams whole tensors, GetSlice streams slices");
  }
  return PlanOneRead(catalog, request.model(), request.generation(), request.read());
}

}  // namespace tensorferry::server
