// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_SERVICE_HANDLERS_H_
#define TENSORFERRY_SERVER_SERVICE_HANDLERS_H_

#include "absl/status/statusor.h"
#include "lib/catalog/catalog.h"
#include "server/security/authorizer.h"
#include "server/stream/stream_plan.h"
#include "tensorferry/v1/tensor_service.pb.h"

namespace tensorferry::server {

// One function for each RPC. proto/tensorferry/v1/tensor_service.proto describes responses and errors. All are pure and
// safe for concurrent use. TensorService has checked that the caller may read the request's model.

// Unary RPCs. ListModels lists the models that the caller may read.
absl::StatusOr<v1::ListModelsResponse> ListModels(const Catalog& catalog, const v1::ListModelsRequest& request,
                                                  const Permissions& permissions);
absl::StatusOr<v1::ListTensorsResponse> ListTensors(const Catalog& catalog, const v1::ListTensorsRequest& request);
absl::StatusOr<v1::GetMetadataResponse> GetMetadata(const Catalog& catalog, const v1::GetMetadataRequest& request);

// Streams: each returns the plan of the stream.
absl::StatusOr<StreamPlan> PlanGetTensor(const Catalog& catalog, const v1::GetTensorRequest& request);
absl::StatusOr<StreamPlan> PlanGetSlice(const Catalog& catalog, const v1::GetSliceRequest& request);
absl::StatusOr<StreamPlan> PlanGetTensors(const Catalog& catalog, const v1::GetTensorsRequest& request);
absl::StatusOr<StreamPlan> PlanGetFile(const Catalog& catalog, const v1::GetFileRequest& request);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_SERVICE_HANDLERS_H_
