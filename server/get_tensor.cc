// SPDX-License-Identifier: Apache-2.0
#include "server/get_tensor.h"

namespace tensorferry::server {

absl::StatusOr<StreamPlan> PlanGetTensor(const Catalog& catalog, const v1::GetTensorRequest& request) {
  v1::Read read;
  read.set_tensor(request.tensor());
  read.set_read_offset(request.read_offset());
  read.set_read_limit(request.read_limit());
  return PlanOneRead(catalog, request.model(), request.generation(), read);
}

}  // namespace tensorferry::server
