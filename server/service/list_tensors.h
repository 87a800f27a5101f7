// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_SERVICE_LIST_TENSORS_H_
#define TENSORFERRY_SERVER_SERVICE_LIST_TENSORS_H_

#include "absl/status/statusor.h"
#include "lib/catalog/catalog.h"
#include "tensorferry/v1/tensor_service.pb.h"

namespace tensorferry::server {

// Answers ListTensors; the proto file says what with, and which errors there are.
absl::StatusOr<v1::ListTensorsResponse> ListTensors(const Catalog& catalog, const v1::ListTensorsRequest& request);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_SERVICE_LIST_TENSORS_H_
