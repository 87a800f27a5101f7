// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_GET_TENSORS_H_
#define TENSORFERRY_SERVER_GET_TENSORS_H_

#include "absl/status/statusor.h"
#include "server/stream_plan.h"
#include "tensorferry/storage/catalog.h"
#include "tensorferry/v1/tensor_service.pb.h"

namespace tensorferry::server {

// What GetTensors streams; the proto file lists the errors.
absl::StatusOr<StreamPlan> PlanGetTensors(const Catalog& catalog, const v1::GetTensorsRequest& request);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_GET_TENSORS_H_
