// SPDX-License-Identifier: Apache-2.0
#ifndef TENSORFERRY_SERVER_SERVICE_LIST_MODELS_H_
#define TENSORFERRY_SERVER_SERVICE_LIST_MODELS_H_

#include "absl/status/statusor.h"
#include "lib/catalog/catalog.h"
#include "server/security/authorizer.h"
#include "tensorferry/v1/tensor_service.pb.h"

namespace tensorferry::server {

// Answers ListModels with the models that the caller may read; the proto file says what with, and which errors there
// are.
absl::StatusOr<v1::ListModelsResponse> ListModels(const Catalog& catalog, const v1::ListModelsRequest& request,
                                                  const Permissions& permissions);

}  // namespace tensorferry::server

#endif  // TENSORFERRY_SERVER_SERVICE_LIST_MODELS_H_
