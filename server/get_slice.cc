// SPDX-License-Identifier: Apache-2.0
#include "server/get_slice.h"

namespace tensorferry::server {

absl::StatusOr<StreamPlan> PlanGetSlice(const Catalog& catalog, const v1::GetSliceRequest& request) {
  v1::Read read;
  read.set_tensor(request.tensor());
  if (request.has_slice()) *read.mutable_slice() = request.slice();
  read.set_read_offset(request.read_offset());
  read.set_read_limit(request.read_limit());
  return PlanOneRead(catalog, request.model(), request.generation(), read);
}

}  // namespace tensorferry::server
