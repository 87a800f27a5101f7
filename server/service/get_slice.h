// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_SERVICE_GET_SLICE_H_
#define TENSORFERRY_SERVER_SERVICE_GET_SLICE_H_

#include "absl/status/statusor.h"
#include "lib/catalog/catalog.h"
#include "server/stream/stream_plan.h"
#include "tensorferry/v1/tensor_service.pb.h"

namespace tensorferry::server {

// What GetSlice streams; the proto file lists the errors.
absl::StatusOr<StreamPlan> PlanGetSlice(const Catalog& catalog, const v1::GetSliceRequest& request);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_SERVICE_GET_SLICE_H_
